//! A store in this process that does not return: nothing can end its thread, so its caller has to
//! learn of it.

use std::time::Duration;

use plugpull::{
    Ablation, CrashKind, Failure, Finding, RecoverRun, SimRecoverRun, SimWriteRun, Simulated,
    Subject, SubjectError, Survivors, Torture, WriteRun,
};

/// Recovers for ever.
struct Parked;

impl Subject for Parked {
    fn name(&self) -> &'static str {
        "parked"
    }

    fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
        Ok(())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Ok(())
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Parked {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        Ok(run.fs.create_dir_all(run.dir)?)
    }

    fn recover(&self, _: &SimRecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn a_torture_returns_although_its_store_does_not() {
    let out = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(Parked).crash([CrashKind::Power]).rounds(1);
    let torture = torture.hang_limit(Duration::from_millis(500));
    let Err(Failure::Violation(rows)) = torture.artifacts(out.path()).run() else {
        panic!("it hangs");
    };
    let failure = &rows[0].failures[0];
    assert!(failure.class.starts_with("the store hangs"), "{failure:?}");
    assert!(failure.violation.contains("has to end"), "{failure:?}");
    let story = Finding::load(&failure.folder)
        .expect("it was saved")
        .story();
    assert!(story.contains("no end after 500ms"), "{story}");
}

#[test]
fn an_ablation_returns_with_an_error() {
    let ablation = Ablation::new(Parked).rounds(1);
    let error = ablation.hang_limit(Duration::from_millis(500)).run();
    let error = error.expect_err("it hangs").to_string();
    assert!(error.contains("the store hangs"), "{error}");
}
