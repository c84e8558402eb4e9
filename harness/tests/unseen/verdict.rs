//! A torture with `syscall`, and what comes of it.

use std::path::Path;

use plugpull::{CrashKind, Failure, Report, Subject, Torture};

pub(crate) fn torture(subject: impl Subject + 'static) -> Torture {
    Torture::new(subject)
        .crash([CrashKind::Syscall])
        .rounds(12)
        .seed(1)
        .artifacts(Path::new(env!("CARGO_TARGET_TMPDIR")).join("unseen"))
}

/// It runs and finds nothing, in more than a few states. `None` where nothing can be traced.
pub(crate) fn passes(outcome: Result<Report, Failure>) {
    match outcome {
        Ok(report) => {
            let tally = &report.rows[0].tally;
            assert!(tally.crash_states > 100, "{}", tally.crash_states);
            assert_eq!(tally.miscalibrated, 0);
        }
        Err(failure) if is_untraceable(&failure) => {}
        Err(Failure::Vacuous(rows)) => panic!("nothing was shown: {:?}", rows[0].tally),
        Err(failure) => panic!("a correct store is accused: {failure}"),
    }
}

/// It finds this.
pub(crate) fn is_caught(outcome: Result<Report, Failure>, complaint: &str) {
    match outcome {
        Err(Failure::Violation(rows)) => {
            let failure = Failure::Violation(rows).to_string();
            assert!(failure.contains(complaint), "'{complaint}' in: {failure}");
        }
        Err(failure) if is_untraceable(&failure) => {}
        Err(failure) => panic!("no verdict: {failure}"),
        Ok(_) => panic!("a guilty store passes"),
    }
}

pub(crate) fn is_untraceable(failure: &Failure) -> bool {
    let words = failure.to_string();
    let is_it = words.contains("ptrace");
    if is_it {
        eprintln!("skipped: {words}");
    }
    is_it
}
