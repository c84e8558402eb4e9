//! A store that is there before it is tortured: what is wrong while it comes about hides nothing, and one that is
//! not fit for a torture is blamed for nothing.

#[path = "../examples/sim_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod sim_store;

use std::path::Path;

use plugpull::disk::FileSystemKind;
use plugpull::sim::{FileSystem, OpenOptions, OsFs};
use plugpull::{
    CrashKind, Failure, PrepareRun, RecorderKind, RecoverRun, Report, SimPrepareRun, SimRecoverRun,
    SimWriteRun, Simulated, Subject, SubjectError, Survivors, Torture, WriteRun,
};
use sim_store::{Mistake, SimStore};

/// Who makes the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    ByTheWriter,
    Before,
    /// With an entry that no writer has written.
    BeforeWithAnEntry,
    /// And half of it only.
    Badly,
    /// Not at all: an error.
    Never,
}

/// The example's store, with a creation that no crash may meet: a reader that finds half of it refuses.
struct HalfMade {
    inner: SimStore,
    made: Made,
}

impl HalfMade {
    fn new(made: Made) -> Self {
        let inner = SimStore::new(Mistake::None);
        Self { inner, made }
    }

    fn prepare(&self, fs: &dyn FileSystem, dir: &Path) -> Result<(), SubjectError> {
        match self.made {
            Made::ByTheWriter => Ok(()),
            Made::Before => create(fs, dir),
            Made::BeforeWithAnEntry => {
                create(fs, dir)?;
                touch(fs, dir, "old")
            }
            Made::Badly => touch(fs, dir, "half"),
            Made::Never => Err("it cannot be made".into()),
        }
    }
}

fn touch(fs: &dyn FileSystem, dir: &Path, name: &str) -> Result<(), SubjectError> {
    if fs.read_dir(dir).is_err() {
        fs.create_dir(dir)?;
        fs.sync_dir(dir.parent().ok_or("no parent")?)?;
    }
    let mut options = OpenOptions::new();
    let file = fs.open(&dir.join(name), options.write(true).create(true))?;
    file.sync_all()?;
    Ok(fs.sync_dir(dir)?)
}

fn create(fs: &dyn FileSystem, dir: &Path) -> Result<(), SubjectError> {
    touch(fs, dir, "half")?;
    touch(fs, dir, "made")
}

/// The names of a directory, if there is one.
fn names(fs: &dyn FileSystem, dir: &Path) -> Vec<String> {
    fs.read_dir(dir).unwrap_or_default()
}

fn open(fs: &dyn FileSystem, dir: &Path) -> Result<(), SubjectError> {
    let names = names(fs, dir);
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("half") && !has("made") {
        return Err("half made".into());
    }
    Ok(())
}

fn open_or_create(fs: &dyn FileSystem, dir: &Path) -> Result<(), SubjectError> {
    if names(fs, dir).iter().any(|name| name == "made") {
        return Ok(());
    }
    create(fs, dir)
}

fn recover(fs: &dyn FileSystem, dir: &Path, survivors: &mut Survivors) -> Result<(), SubjectError> {
    open(fs, dir)?;
    if names(fs, dir).iter().any(|name| name == "old") {
        survivors.push(0, b"written by no writer");
    }
    Ok(())
}

impl Subject for HalfMade {
    fn name(&self) -> &'static str {
        "half-made"
    }

    fn prepare(&self, run: &PrepareRun) -> Result<(), SubjectError> {
        self.prepare(&OsFs, run.dir)
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        open_or_create(&OsFs, run.dir)?;
        Subject::write(&self.inner, run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover(&OsFs, run.dir, survivors)?;
        Subject::recover(&self.inner, run, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for HalfMade {
    fn prepare(&self, run: &SimPrepareRun) -> Result<(), SubjectError> {
        self.prepare(run.fs, run.dir)
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        open_or_create(run.fs, run.dir)?;
        Simulated::write(&self.inner, run)
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover(run.fs, run.dir, survivors)?;
        Simulated::recover(&self.inner, run, survivors)
    }
}

/// How it is tortured.
#[derive(Clone, Copy)]
enum How {
    Kill,
    Syscall,
    Seam,
    Trace,
    Disk,
}

fn torture(made: Made, how: How) -> Torture {
    let torture = Torture::new(HalfMade::new(made)).seed(1);
    match how {
        How::Kill => torture.crash([CrashKind::Kill]).rounds(40),
        How::Syscall => torture.crash([CrashKind::Syscall]).rounds(2),
        How::Seam => torture.crash([CrashKind::Power]).rounds(2),
        How::Trace => {
            let torture = torture.crash([CrashKind::Power]).rounds(2);
            torture.recorder(RecorderKind::Trace)
        }
        How::Disk => {
            let torture = torture.crash([CrashKind::Disk]).rounds(2);
            torture.file_systems([FileSystemKind::Ext4])
        }
    }
}

/// What the machine does not allow is no failure of a test: it says so.
fn is_unavailable(failure: &Failure, how: How) -> bool {
    let is_disk = matches!(how, How::Disk) && matches!(failure, Failure::Environment(_));
    if is_disk && !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: `disk` needs root: {failure}");
        return true;
    }
    false
}

fn is_caught(how: How) {
    let artifacts = tempfile::tempdir().expect("a directory");
    match torture(Made::ByTheWriter, how)
        .artifacts(artifacts.path())
        .run()
    {
        Err(Failure::Violation(rows)) => {
            let class = &rows[0].failures[0].class;
            assert!(class.ends_with("half made"), "{class}");
        }
        Err(failure) if is_unavailable(&failure, how) => {}
        other => panic!("half a store is found: {other:?}"),
    }
}

fn passes(result: Result<Report, Failure>, how: How) {
    match result {
        Ok(Report { rows }) => assert!(rows[0].tally.acked > 0, "{rows:?}"),
        Err(failure) if is_unavailable(&failure, how) => {}
        Err(failure) => panic!("{failure}"),
    }
}

fn is_blamed_for_nothing(made: Made, how: How, why: &str) {
    match torture(made, how).run() {
        Err(failure) if is_unavailable(&failure, how) => {}
        Err(Failure::Environment(told)) => assert!(told.contains(why), "{told}"),
        other => panic!("it is not tortured: {other:?}"),
    }
}

macro_rules! kinds {
    ($($name:ident: $how:expr,)+) => {
        $(mod $name {
            use super::*;

            #[test]
            fn a_store_that_was_prepared_passes() {
                passes(torture(Made::Before, $how).run(), $how);
            }

            #[test]
            fn a_store_that_was_given_passes() {
                let given = tempfile::tempdir().expect("a directory");
                create(&OsFs, given.path()).expect("a store");
                let torture = torture(Made::ByTheWriter, $how).image(given.path());
                passes(torture.run(), $how);
            }

            #[test]
            fn half_a_store_is_not_tortured() {
                is_blamed_for_nothing(Made::Badly, $how, "before any crash");
            }

            #[test]
            fn a_store_with_an_entry_is_not_tortured() {
                is_blamed_for_nothing(Made::BeforeWithAnEntry, $how, "before any crash");
            }

            #[test]
            fn a_store_that_cannot_be_made_is_not_tortured() {
                is_blamed_for_nothing(Made::Never, $how, "it cannot be made");
            }
        })+
    };
}

kinds! {
    kill: How::Kill,
    syscall: How::Syscall,
    seam: How::Seam,
    trace: How::Trace,
    disk: How::Disk,
}

macro_rules! caught {
    ($($name:ident: $how:expr,)+) => {
        $(#[test]
        fn $name() {
            is_caught($how);
        })+
    };
}

// A kill comes seldom between two calls.
caught! {
    half_a_store_is_found_by_syscall: How::Syscall,
    half_a_store_is_found_on_the_seam: How::Seam,
    half_a_store_is_found_under_trace: How::Trace,
    half_a_store_is_found_on_a_disk: How::Disk,
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    for how in [How::Kill, How::Seam] {
        let torture = torture(Made::ByTheWriter, how).image("/no/such/store");
        match torture.run() {
            Err(Failure::Environment(told)) => {
                assert!(told.contains("/no/such/store, to begin with"), "{told}");
            }
            other => panic!("there is nothing to begin with: {other:?}"),
        }
    }
}
