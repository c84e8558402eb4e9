//! The example's key-value store under torture, as a user of the framework tests a store: the
//! correct version passes, the naive one is caught.

#[path = "../examples/kv_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod kv_store;

use kv_store::KvStore;
use plugpull::{Failure, Torture};

#[test]
fn a_store_that_replaces_its_file_atomically_survives() {
    let report = Torture::new(KvStore::CORRECT).seed(1).run().unwrap();
    // As many as are usual, of each kind.
    let rounds = report.rows.iter().map(|row| row.tally.rounds);
    let rounds: Vec<u64> = rounds.filter(|rounds| *rounds > 0).collect();
    assert_eq!(rounds, [40, 10, 10, 2]);
    assert!(report.rows.iter().any(|row| row.tally.acked > 0));
}

#[test]
fn a_store_that_overwrites_its_file_in_place_is_caught() {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(KvStore::NAIVE)
        .rounds(400)
        .seed(1)
        .artifacts(artifacts.path());
    let failure = torture.run().expect_err("it must be caught");
    let Failure::Violation(rows) = &failure else {
        panic!("{failure}")
    };
    let folder = &rows[0].failures[0].folder;
    assert!(folder.join("image").is_dir());
    let story = std::fs::read_to_string(folder.join("README.md")).expect("it is told");
    assert!(story.contains("kv-store/naive"), "{story}");
    assert!(
        failure.to_string().contains("promises were broken"),
        "{failure}"
    );
}
