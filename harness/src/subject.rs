//! What is under test.

use std::path::Path;
use std::time::Duration;

use crate::ablate::SyncSite;
use crate::history::Recorder;
use crate::oracle::{LogOracle, Oracle};
use crate::sim::SimFs;
use crate::workload::Workload;

use crate::survivor::Survivors;

/// Why a subject could not do its work. Its text ends up in the report.
pub type SubjectError = Box<dyn std::error::Error + Send + Sync>;

/// A store under test. Both methods run in processes of their own.
///
/// What the rules for a log ask of both:
///
/// - **Positions are 0, 1, 2 ..** in the order in which entries stand in the log, over all generations, without a
///   gap, whatever the store's own numbers look like. A store that gives no position back counts its entries: what
///   recovery shows first is at 0. A log that has been trimmed begins later: see `Recorder::trim_begin`. For a key-value
///   store use a [`KeyValueOracle`](crate::oracle::KeyValueOracle): there the key stands in the position's place.
/// - **An error of the store ends the writing**: tell it with [`Recorder::failed`], stop all writers of the process and
///   return. A writer that goes on behind an error of another one says nothing about what became of the first.
/// - **Announce before and after**: `attempt` before the store hears of an entry, `ack` after it has said that the
///   entry is durable. What is announced in another order than it happens is a false alarm, or hides a bug.
/// - **Nothing outlives the call** that holds the store's directory open: no thread, no child process, no lock.
pub trait Subject: Send + Sync {
    /// Its name on the command line, and in a report.
    fn name(&self) -> &str;

    /// The Rust expression that makes it, for the tests that are printed when a failure has been
    /// shrunk. If you do not say otherwise, that of a type without fields is its path; of any other the
    /// test says what has to be filled in.
    fn constructor(&self) -> String {
        let name = std::any::type_name::<Self>();
        if size_of_val(self) == 0 {
            return name.to_owned();
        }
        format!(
            "{{\n        \
                 // `Subject::constructor` can fill this in.\n        \
                 let subject: {name} = todo!(\"how is it made?\");\n        \
                 subject\n    \
             }}"
        )
    }

    /// Why it is known to break promises, if it is: a bad example that is kept to be looked at.
    ///
    /// Such a subject is tortured only when it is named, and to the end: a row keeps one failure of
    /// each [class](crate::oracle::Violation::class) and does not stop after a few.
    fn exhibit(&self) -> Option<&str> {
        None
    }

    /// What its recovery must show. The rules for a log, if you do not say otherwise.
    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(LogOracle::default())
    }

    /// The ways in which it can be run, such as I/O engines. Each directory of a torture draws one.
    fn engines(&self) -> &[&'static str] {
        &["default"]
    }

    /// For [`CrashKind::Kill`]: how long a writer lives at most, its start included. Say more if the store
    /// takes longer to begin with its work, as a server does that clients connect to.
    ///
    /// [`CrashKind::Kill`]: crate::CrashKind::Kill
    fn life_max(&self) -> Duration {
        Duration::from_millis(18)
    }

    /// Whether, run in this way, its process has one `io_uring` request in flight at most, one that
    /// ends by itself, and takes note of each before the next. Then [`CrashKind::Syscall`] can wait
    /// for it and copy what it leaves; a store that hands over several at once is refused there,
    /// since a copy would show states that no crash leaves.
    ///
    /// [`CrashKind::Syscall`]: crate::CrashKind::Syscall
    fn has_one_request_in_flight(&self, _engine: &str) -> bool {
        false
    }

    /// Makes the store that the first writer of a directory opens, closes it, and returns: for one whose creation is
    /// slow, or is known to be no match for a crash. What it leaves is durable and holds no entry. If you do not say
    /// otherwise it does nothing, and the first writer creates the store.
    ///
    /// # Errors
    /// If it cannot be made: the torture ends, and blames no store.
    fn prepare(&self, _run: &PrepareRun) -> Result<(), SubjectError> {
        Ok(())
    }

    /// Opens the store and carries out the workload's actions, telling the [`Recorder`] what
    /// happens. Most of the time the process is killed before they come to their end.
    ///
    /// # Errors
    /// If the store does not open or stops working: after a kill it must do neither, so that is a
    /// violation.
    fn write(&self, run: &WriteRun) -> Result<(), SubjectError>;

    /// Opens what is left and reports every surviving entry, in order.
    ///
    /// # Errors
    /// If the store does not open, or an entry cannot be read: a violation.
    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError>;

    /// How it runs on the simulated file system, if it can. [`CrashKind::Power`] and [`CrashKind::Fault`] run
    /// others under trace, and so does [`CrashKind::Rot`] where it is asked for by name.
    ///
    /// [`CrashKind::Power`]: crate::CrashKind::Power
    /// [`CrashKind::Fault`]: crate::CrashKind::Fault
    /// [`CrashKind::Rot`]: crate::CrashKind::Rot
    fn simulated(&self) -> Option<&dyn Simulated> {
        None
    }
}

/// A store that does all its I/O through a seam can run on [`SimFs`], inside this process, on one
/// thread.
///
/// Both methods must do the same whenever they are given the same: no clock, no entropy but
/// [`SimFs::fill_random`], no thread of their own, no order of a `HashMap`. They must come to an end: nobody
/// kills them.
pub trait Simulated: Send + Sync {
    /// Whether one of [`Subject::engines`] does its I/O through the seam. One that does not is left out.
    fn runs(&self, _engine: &str) -> bool {
        true
    }

    /// As [`Subject::prepare`], on the simulated file system.
    ///
    /// # Errors
    /// If it cannot be made: the torture ends, and blames no store.
    fn prepare(&self, _run: &SimPrepareRun) -> Result<(), SubjectError> {
        Ok(())
    }

    /// Opens the store and carries out the workload's actions, all of them, telling the
    /// [`Recorder`] what happens. Crash states are taken from what it did.
    ///
    /// # Errors
    /// If the store does not open or stops working: a violation, unless the disk was made to fail.
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError>;

    /// Opens what is left and reports every surviving entry, in order.
    ///
    /// # Errors
    /// If the store does not open, or an entry cannot be read: a violation, unless the disk was made
    /// to fail or its bytes were damaged.
    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError>;

    /// The position below which the bytes that are left prove by themselves that every entry had been
    /// durable, such as the newest surviving watermark. When bytes are damaged, nothing below it may
    /// be lost in silence; what is lost above is counted as unprovable. `None` if the store's bytes
    /// say nothing of the kind.
    ///
    /// It should not share the code of recovery, which is under test.
    fn vouched(&self, _fs: &SimFs, _dir: &Path) -> Option<u64> {
        None
    }

    /// Why it is no harm to leave out the sync at this place, if it is none: [`Ablation`] says so instead
    /// of calling it missed. Match on [`SyncSite::is_called_by`], which does not change with line numbers.
    ///
    /// [`Ablation`]: crate::Ablation
    fn redundant_sync(&self, _site: &SyncSite) -> Option<&'static str> {
        None
    }
}

/// Where a store on the simulated file system is prepared.
#[derive(Debug)]
pub struct SimPrepareRun<'a> {
    /// Where it does its I/O.
    pub fs: &'a SimFs,
    /// The store's directory there. It does not exist yet.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
}

/// What a writer on the simulated file system is told.
#[derive(Debug)]
pub struct SimWriteRun<'a> {
    /// Where it does its I/O.
    pub fs: &'a SimFs,
    /// The store's directory there. It may not exist yet.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
    /// What to do.
    pub workload: &'a Workload,
    /// Where to tell what happens.
    pub recorder: &'a Recorder,
}

/// What a recovery on the simulated file system is told.
#[derive(Debug)]
pub struct SimRecoverRun<'a> {
    /// Where it does its I/O.
    pub fs: &'a SimFs,
    /// The store's directory there. It may not exist.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
    /// Close the store in order afterwards, by the call that it has for that; it must not fail. Else leave the store
    /// as a reader would: drop it. A store without such a call drops it either way.
    pub close: bool,
}

/// Where a store is prepared.
#[derive(Debug)]
pub struct PrepareRun<'a> {
    /// Where the store lives. It is empty.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
}

/// What a writer process is told.
#[derive(Debug)]
pub struct WriteRun<'a> {
    /// Where the store lives. It may hold what an earlier generation left.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
    /// What to do.
    pub workload: &'a Workload,
    /// Where to tell what happens.
    pub recorder: &'a Recorder,
}

/// What a recovering process is told.
#[derive(Debug)]
pub struct RecoverRun<'a> {
    /// Where the store lives.
    pub dir: &'a Path,
    /// One of [`Subject::engines`].
    pub engine: &'a str,
    /// Close the store in order afterwards, by the call that it has for that; it must not fail. Else leave the store
    /// as a reader would: drop it. A store without such a call drops it either way.
    pub close: bool,
}
