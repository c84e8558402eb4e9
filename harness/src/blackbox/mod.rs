//! Programs in any language, as they are: a command that writes, a command that checks, and a few
//! words on their standard output.
//!
//! ```text
//! writer                         checker
//!   attempt ID [BYTES-HASH]        survived ID [BYTES-HASH]     in order, then exit status 0
//!   ack ID [POSITION]
//! ```
//!
//! The writer's words travel through a pipe. A write to a pipe is complete when it returns, and what
//! is in a pipe outlives whoever wrote it, so the pipe is the history: it is read to its end after a
//! kill, and at every stop of a traced run.
//!
//! `docs/black-box.md` is the programs' side of it.

mod channel;
mod checker;
mod disk;
mod failure;
mod keeper;
mod kill;
mod oracle;
mod protocol;
mod recording;
mod syscall;

use std::io;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::subject::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};
use crate::tally::Tally;

pub(crate) use disk::DiskStore;
pub(crate) use failure::{Record, replay};
pub(crate) use keeper::{Kept, Order, obey};
pub use oracle::BlackBoxOracle;

/// Stands for the store's directory in a command.
const DIR_MARK: &str = "{dir}";

/// A store that is only known by two commands. See `docs/black-box.md`.
///
/// ```no_run
/// # use plugpull::{BlackBox, Torture};
/// let store = BlackBox::new("./writer {dir}", "./checker {dir}").unwrap();
/// Torture::new(store).rounds(50).seed(1).run().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackBox {
    /// Opens the store and appends until it is killed.
    pub(crate) cmd: String,
    /// Opens what is left and prints what survived.
    pub(crate) check: String,
}

impl BlackBox {
    /// `cmd` writes until it is killed, `check` prints what survived. In both, `{dir}` stands for the
    /// store's directory.
    ///
    /// # Errors
    /// If one of them does not name the directory.
    pub fn new(cmd: impl Into<String>, check: impl Into<String>) -> Result<Self, String> {
        let (cmd, check) = (cmd.into(), check.into());
        for (option, command) in [("--cmd", &cmd), ("--check", &check)] {
            if !command.contains(DIR_MARK) {
                return Err(format!(
                    "{option} '{command}' does not say where the store is: write {DIR_MARK} where \
                     the command takes its directory"
                ));
            }
        }
        Ok(Self { cmd, check })
    }
}

/// A command for a store in this directory, as a shell takes it.
fn command_for(command: &str, dir: &Path) -> String {
    command.replace(DIR_MARK, &quoted(&dir.to_string_lossy()))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    // In single quotes nothing is special but the quote itself.
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Subject for BlackBox {
    fn name(&self) -> &'static str {
        "black-box"
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(BlackBoxOracle::default())
    }

    fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
        Err("a black box writes in a process of its own".into())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Err("a black box recovers in a process of its own".into())
    }

    fn black_box(&self) -> Option<&BlackBox> {
        Some(self)
    }
}

/// One directory's crashes after another's, on one thread.
pub(crate) enum Lane<'a> {
    Kill(kill::Lane<'a>),
    Syscall(syscall::Lane<'a>),
}

impl<'a> Lane<'a> {
    /// `name` tells this lane's directories from those of others below `scratch`.
    pub(crate) fn new(
        crash: CrashKind,
        store: &'a BlackBox,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        let dir = scratch.join(format!("{name}-store"));
        let evidence = scratch.join(format!("{name}-evidence"));
        match crash {
            CrashKind::Kill => Self::Kill(kill::Lane::new(store, plan, dir, evidence, rng)),
            CrashKind::Syscall => {
                Self::Syscall(syscall::Lane::new(store, plan, dir, evidence, rng))
            }
            CrashKind::Disk => unreachable!("any store has the same lane on a disk"),
            CrashKind::Power | CrashKind::Fault | CrashKind::Rot => {
                unreachable!("it was said to be unavailable for programs")
            }
        }
    }

    /// One generation: write, crash, recover, check. Counts what it did in `tally`.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        match self {
            Self::Kill(lane) => lane.round(tally),
            Self::Syscall(lane) => lane.round(tally),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_quoted_for_the_shell() {
        let command = command_for("w --at {dir} --log {dir}/log", Path::new("/tmp/it's here"));
        assert_eq!(
            command,
            r"w --at '/tmp/it'\''s here' --log '/tmp/it'\''s here'/log"
        );
    }

    #[test]
    fn a_command_without_the_directory_is_refused() {
        let refused = BlackBox::new("./writer {dir}", "./checker").expect_err("no {dir}");
        assert!(refused.contains("--check './checker'"), "{refused}");
    }
}
