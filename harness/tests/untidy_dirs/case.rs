//! A program under torture.

use std::io::Write;
use std::time::Duration;

use plugpull::disk::FileSystemKind;
use plugpull::{BlackBox, CrashKind, Failure, Report, Torture};

use crate::scripts::{Log, Program};

/// Nothing here takes a tenth of this: a run that waits for ever ends as a violation.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// A writer and a checker in a directory of their own.
pub(crate) struct Scripts {
    dir: tempfile::TempDir,
}

impl Scripts {
    pub(crate) fn new(writer: &str, checker: &str) -> Self {
        plugpull::obey_orders(&[]);
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("writer"), writer).expect("written");
        std::fs::write(dir.path().join("checker"), checker).expect("written");
        Self { dir }
    }

    pub(crate) fn run(
        &self,
        interpreter: &str,
        crash: CrashKind,
        rounds: u64,
    ) -> Result<Report, Failure> {
        let at = |script: &str| {
            let script = self.dir.path().join(script);
            format!("{interpreter} '{}' {{dir}}", script.display())
        };
        let store = BlackBox::new(at("writer"), at("checker")).expect("both name the directory");
        let torture = Torture::new(store).crash([crash]).rounds(rounds).seed(1);
        let torture = torture.artifacts(self.dir.path().join("failures"));
        let torture = torture.file_systems([FileSystemKind::Ext4]);
        torture.hang_limit(HANG_LIMIT).run()
    }
}

impl Program {
    fn run(&self, log: Log, crash: CrashKind, rounds: u64) -> Result<Report, Failure> {
        let scripts = Scripts::new(&self.writer(log), &self.checker());
        scripts.run("perl", crash, rounds)
    }

    /// It keeps its promises, and the same program that acknowledges too early does not.
    pub(crate) fn passes_and_its_guilty_twin_does_not(&self) {
        for (crash, rounds) in [(CrashKind::Kill, 6), (CrashKind::Syscall, 1)] {
            // While it syncs, it is in the middle of work: there, most kills hit it.
            self.run(Log::Synced, crash, rounds)
                .unwrap_or_else(|failure| panic!("{crash}: {failure}"));
            let failure = self.run(Log::Held, crash, 10 * rounds);
            let failure = failure.expect_err("it holds back what it acknowledges");
            let told = violations(crash, &failure);
            assert!(told.contains("was acknowledged and is gone"), "{told}");
        }
    }

    /// A state that its checker does not like is seen at a system call.
    pub(crate) fn is_caught(&self, complaint: &str) {
        let failure = self.run(Log::Written, CrashKind::Syscall, 2);
        let told = violations(CrashKind::Syscall, &failure.expect_err(complaint));
        assert!(told.contains(complaint), "'{complaint}' in: {told}");
    }

    /// The same on a real file system.
    pub(crate) fn passes_on_a_disk(&self, test: &str) {
        match self.run(Log::Synced, CrashKind::Disk, 1) {
            Ok(_) => {}
            Err(Failure::Environment(why)) => skipped(test, &why),
            Err(failure) => panic!("{failure}"),
        }
    }
}

/// What was found, if it was a broken promise.
pub(crate) fn violations(crash: CrashKind, failure: &Failure) -> String {
    let Failure::Violation(_) = failure else {
        panic!("{crash}: {failure}");
    };
    failure.to_string()
}

/// Not by a macro: this is to be seen although the test passes.
pub(crate) fn skipped(test: &str, why: &str) {
    writeln!(std::io::stderr(), "{test}: skipped: {why}").expect("stderr is open");
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
