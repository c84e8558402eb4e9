//! What real file systems keep, beside what the profiles allow.
//!
//! The real side needs root, FUSE, loop devices and `mkfs.ext4`. Where one is missing, its test says
//! so and passes.

use std::collections::BTreeSet;

use plugpull::disk::{FileSystem, available};
use plugpull::litmus::{Bench, Litmus, allowed, profile_of};
use plugpull::sim::Profile;

fn litmus(name: &str) -> Litmus {
    let mut all = Litmus::all().into_iter();
    all.find(|litmus| litmus.name == name)
        .expect("there is one of this name")
}

fn set(outcomes: &[&str]) -> BTreeSet<String> {
    outcomes
        .iter()
        .map(|outcome| (*outcome).to_owned())
        .collect()
}

#[test]
fn ext4_does_what_it_is_known_for() {
    let ext4 = FileSystem::ext4();
    let base = std::env::temp_dir();
    if let Err(why) = available(&ext4, &base) {
        eprintln!("ext4_does_what_it_is_known_for: SKIPPED, ext4 is unavailable here: {why}");
        return;
    }
    let mut bench = Bench::new(&ext4, &base, 1).expect("this machine can");
    for (name, known) in [
        // Nothing is promised: the journal is committed, or it is not.
        ("rename", set(&["old name", "new name"])),
        // The directory need not be synced: the commit of a new file has its name.
        ("create-fdatasync", set(&["new"])),
        // The size is committed, and the bytes are not written yet.
        (
            "append-in-block-sync-dir",
            set(&["longer: new", "longer: zeros"]),
        ),
    ] {
        let litmus = litmus(name);
        let seen = bench.observe(&litmus).expect("this machine can");
        assert!(seen.values().sum::<u64>() > 0, "{name}: nothing was seen");
        assert_eq!(seen.into_keys().collect::<BTreeSet<_>>(), known, "{name}");
        let allowed = allowed(&litmus, profile_of(ext4.kind)).expect("it runs there");
        assert!(known.is_subset(&allowed), "{name}: {allowed:?}");
    }
}

#[test]
fn a_profile_allows_what_is_known_and_strict_all_that_others_do() {
    for (name, profile, outcomes) in [
        ("rename", Profile::Everything, set(&["new name"])),
        ("rename", Profile::SyncedOnly, set(&["old name"])),
        ("create-fdatasync", Profile::Ext4Ordered, set(&["new"])),
        (
            "create-fdatasync",
            Profile::Strict,
            set(&["new", "missing"]),
        ),
        (
            "across-sync-target",
            Profile::Btrfs,
            set(&["new name", "both names"]),
        ),
    ] {
        let allowed = allowed(&litmus(name), profile).expect("it runs there");
        assert_eq!(allowed, outcomes, "{name}, {profile}");
    }
    for litmus in Litmus::all() {
        let strict = allowed(&litmus, Profile::Strict).expect("it runs there");
        for profile in Profile::ALL {
            let allowed = allowed(&litmus, profile).expect("it runs there");
            assert!(
                allowed.is_subset(&strict),
                "{}: {profile} allows {allowed:?}, strict {strict:?}",
                litmus.name
            );
        }
    }
}

#[test]
fn names_of_programs_are_their_own() {
    let all = Litmus::all();
    let names: BTreeSet<&str> = all.iter().map(|litmus| litmus.name).collect();
    assert_eq!(names.len(), all.len());
}
