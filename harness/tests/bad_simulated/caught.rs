//! A mistake under torture, and what it is caught for.

use plugpull::oracle::Violation;
use plugpull::sim::Profile;
use plugpull::{CrashKind, Failure, Finding, Torture};

use crate::mistake::Mistake;
use crate::store::Store;

pub(crate) const SIMULATED: [CrashKind; 3] = [CrashKind::Power, CrashKind::Fault, CrashKind::Rot];

/// Most are caught in one of the first; a row ends with its third failure.
fn rounds_for(mistake: Mistake) -> u64 {
    match mistake {
        Mistake::NeverEnds | Mistake::NeverEndsWriting | Mistake::NeverEndsOnDamage => 1,
        // An error has to meet the write of a group.
        Mistake::NeverEndsAfterAnError => 3,
        // A crash in the right moment, a recovery, a write, and another crash.
        Mistake::LeavesStaleFrames => 80,
        _ => 30,
    }
}

pub(crate) fn torture(mistake: Mistake, kind: CrashKind) -> Torture {
    let torture = Torture::new(Store::new(mistake)).crash([kind]);
    torture.rounds(rounds_for(mistake)).seed(1)
}

/// The first broken promise that a crash kind brings to light.
#[track_caller]
pub(crate) fn caught(mistake: Mistake, kind: CrashKind) -> Violation {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = torture(mistake, kind)
        .profiles([Profile::Strict])
        .artifacts(artifacts.path());
    match torture.run() {
        Err(Failure::Violation(rows)) => {
            let finding = Finding::load(&rows[0].failures[0].folder);
            finding.expect("it was saved").violation
        }
        other => panic!("{mistake:?} is not caught: {other:?}"),
    }
}

macro_rules! assert_caught {
    ($mistake:ident, $kind:ident, $rule:pat) => {
        let violation = $crate::caught::caught(
            $crate::mistake::Mistake::$mistake,
            plugpull::CrashKind::$kind,
        );
        assert!(matches!(violation, $rule), "{violation:?}");
    };
}

pub(crate) use assert_caught;

#[track_caller]
pub(crate) fn assert_broken(violation: &Violation, parts: [&str; 2]) {
    let Violation::Broken { stage, detail } = violation else {
        panic!("{violation:?}")
    };
    assert!(stage.to_string().contains(parts[0]), "{stage}");
    assert!(detail.contains(parts[1]), "{detail}");
}
