//! What a report says: the same for the same seed, and why a row is empty.

use plugpull::{Coverage, CrashKind, Failure, Finding, RecorderKind, Report, Row, Torture};

use crate::caught::{SIMULATED, torture};
use crate::kv_store::KvStore;
use crate::mistake::Mistake;
use crate::store::Store;

/// Those that another recorder does only where they are asked for.
const BY_NAME: [CrashKind; 1] = [CrashKind::Rot];

#[test]
fn without_a_mistake_it_passes() {
    let torture = Torture::new(Store::new(Mistake::None)).crash(SIMULATED);
    let Report { rows } = torture.rounds(3).seed(1).run().unwrap();
    assert!(rows[0].tally.crash_states > 1000, "{rows:?}");
    assert!(rows[1].tally.faults > 0, "{rows:?}");
    assert!(rows[2].tally.detected > 0, "{rows:?}");
}

/// All of a row but its times, where its failures were saved, and which of its states were the newest.
fn without_times(row: &Row) -> serde_json::Value {
    let mut row = serde_json::to_value(row).expect("plain data");
    if let Some(sorts) = row["reached"]["sorts"].as_object_mut() {
        sorts.remove("newest").expect("they are told");
    }
    let fields = row.as_object_mut().expect("a row has fields");
    fields.retain(|field, _| field != "failures" && !field.ends_with("_s"));
    row
}

#[test]
fn the_same_seed_gives_the_same_rows_however_many_threads_share_them() {
    let rows = |seed, jobs| {
        let torture = Torture::new(Store::new(Mistake::None)).crash(SIMULATED);
        let report = torture.rounds(2).seed(seed).jobs(jobs).run().unwrap();
        report.rows.iter().map(without_times).collect::<Vec<_>>()
    };
    let first = rows(7, 1);
    assert_eq!(first, rows(7, 1));
    assert_eq!(first, rows(7, 2));
    assert_ne!(first, rows(8, 1));
}

#[test]
fn the_same_seed_gives_the_same_failure_with_the_same_story() {
    let story = || {
        let artifacts = tempfile::tempdir().expect("a directory");
        let torture = torture(Mistake::RetriesSync, CrashKind::Fault);
        let Err(Failure::Violation(rows)) = torture.artifacts(artifacts.path()).run() else {
            panic!("it is not caught")
        };
        let finding = Finding::load(&rows[0].failures[0].folder).expect("it was saved");
        (without_times(&rows[0]), finding.story())
    };
    assert_eq!(story(), story());
}

#[test]
fn a_store_on_real_files_only_has_rows_that_say_why_they_are_empty() {
    let rows = match Torture::new(KvStore::CORRECT).rounds(3).seed(1).run() {
        // So short a torture may show nothing.
        Ok(Report { rows }) | Err(Failure::Vacuous(rows)) => rows,
        Err(other) => panic!("{other}"),
    };
    for kind in BY_NAME {
        let row = rows.iter().find(|row| row.crash == kind);
        let row = row.expect("it is not left out in silence");
        let why = row.unavailable.as_deref().expect("it cannot be run");
        assert!(why.contains("by name (--crash rot)"), "{why}");
        assert_eq!((row.tally.rounds, row.coverage), (0, Coverage::None));
    }
}

#[test]
fn to_ask_for_the_simulated_disk_by_name_is_an_error_if_the_store_does_not_run_on_it() {
    for kind in SIMULATED {
        let torture = Torture::new(KvStore::CORRECT).crash([kind]);
        let torture = torture.recorder(RecorderKind::Seam);
        let Err(Failure::Environment(why)) = torture.run() else {
            panic!("it runs")
        };
        let expected = format!("crash kind '{kind}' is unavailable");
        assert!(why.contains(&expected), "{why}");
        assert!(why.contains("Subject::simulated"), "{why}");
    }
}

/// Power loss and failing disks do not need the seam: what runs is traced.
#[test]
fn power_is_lost_and_disks_fail_under_trace_where_there_is_no_seam() {
    for kind in [CrashKind::Power, CrashKind::Fault] {
        let torture = Torture::new(KvStore::CORRECT).crash([kind]);
        let rows = match torture.rounds(2).seed(1).run() {
            Ok(Report { rows }) => rows,
            Err(Failure::Environment(why)) if why.contains("ptrace") => {
                eprintln!("{kind} under trace: SKIPPED: {why}");
                return;
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(rows[0].recorder, Some(RecorderKind::Trace));
        assert_eq!(rows[0].case(), format!("{kind} trace"));
        let tally = &rows[0].tally;
        assert!(tally.crash_states > 50, "{tally:?}");
        assert_eq!(tally.faults > 0, kind == CrashKind::Fault, "{tally:?}");
    }
}
