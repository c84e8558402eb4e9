//! A mistake that is known or shows only in the beginning, and what lies behind it.

use plugpull::{CrashKind, Failure, Report, Row};

use crate::caught::{caught, torture};
use crate::mistake::Mistake;

const CLASS: &str = "recovery failed: two segments are too many";

fn row(mistake: Mistake, known: &[&str]) -> Result<Box<Row>, Box<Row>> {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = torture(mistake, CrashKind::Power).artifacts(artifacts.path());
    match torture.rounds(3).known(known.iter().copied()).run() {
        Ok(Report { mut rows }) => Ok(rows.remove(0).into()),
        Err(Failure::Violation(mut rows)) => Err(rows.remove(0).into()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_known_failure_is_counted_and_passed_over() {
    let stopped = row(Mistake::FailsInRecovery, &[]).expect_err("it is caught");
    assert!(stopped.tally.known.is_empty());
    let passed = row(Mistake::FailsInRecovery, &["recovery failed: *"]).expect("nothing else");
    assert!(passed.tally.known[CLASS] > 100, "{:?}", passed.tally);
    assert_eq!(passed.tally.violations, 0);
    assert!(passed.failures.is_empty());
    // The rounds go on behind it.
    let [with, without] = [&passed, &stopped].map(|row| row.tally.crash_states);
    assert!(with > 10 * without, "{with} and {without}");
}

#[test]
fn what_lies_behind_a_known_failure_is_found() {
    let mistake = Mistake::FailsInRecoveryAndAcksBeforeSync;
    let first = row(mistake, &["lost"]).expect_err("it is caught");
    assert_eq!(first.failures[0].class, CLASS);
    let behind = row(mistake, &[CLASS]).expect_err("there is another one");
    assert_eq!(behind.failures[0].class, "lost");
    // Of another class, it is not passed over.
    let violation = caught(Mistake::FailsInRecovery, CrashKind::Power);
    assert_eq!(violation.class(), CLASS);
}

#[test]
fn what_is_wrong_before_the_first_acknowledgement_can_be_left_aside() {
    let mistake = Mistake::FailsWhereNothingIsYet;
    let violation = caught(mistake, CrashKind::Power);
    assert_eq!(violation.class(), "recovery failed: there is nothing");
    for kind in [CrashKind::Power, CrashKind::Fault] {
        let artifacts = tempfile::tempdir().expect("a directory");
        let torture = torture(mistake, kind).artifacts(artifacts.path());
        let report = torture.rounds(3).after_first_ack().run();
        let Report { rows } = report.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(rows[0].tally.crash_states > 1000, "{:?}", rows[0].tally);
    }
}
