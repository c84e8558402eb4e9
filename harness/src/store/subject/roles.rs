//! What child processes do for a [`Subject`].

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::history::{History, Recorder};
use crate::process::{Failed, Obeyed, Role, Roles, answer};
use crate::subject::{PrepareRun, RecoverRun, Subject, SubjectError, WriteRun};
use crate::survivor::{Survivor, Survivors};
use crate::workload::Workload;

pub(super) const PREPARE: Role<Place> = Role::new("prepare");
pub(super) const WRITE: Role<WriteTask> = Role::new("write");
pub(super) const RECOVER: Role<RecoverTask> = Role::new("recover");
/// Recovers as often as it is asked.
pub(super) const CHECK: Role<CheckTask> = Role::new("check");

/// Which subject runs where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) subject: String,
    pub(super) engine: String,
    pub(super) dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WriteTask {
    pub(super) place: Place,
    pub(super) history: PathBuf,
    pub(super) workload: Workload,
    /// When its work is done it ends; else it waits to be killed.
    pub(super) ends: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecoverTask {
    pub(super) place: Place,
    pub(super) output: PathBuf,
    pub(super) recovery: Recovery,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckTask {
    pub(super) place: Place,
    pub(super) answers: PathBuf,
}

/// One recovery.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recovery {
    pub(super) dir: PathBuf,
    pub(super) workloads: Vec<Workload>,
    pub(super) close: bool,
}

/// Adds what child processes of these subjects do.
pub(crate) fn subject_roles<'a>(roles: Roles<'a>, subjects: &'a [&'a dyn Subject]) -> Roles<'a> {
    let with = move |place: &Place, work: &dyn Fn(&dyn Subject) -> Result<(), Failed>| {
        let subject = subjects
            .iter()
            .find(|subject| subject.name() == place.subject);
        match subject {
            Some(subject) => work(*subject).map(|()| Obeyed::Done),
            None => Ok(Obeyed::NotForUs),
        }
    };
    roles
        .with(&PREPARE, move |place: Place, _| {
            with(&place, &|subject| {
                let run = PrepareRun {
                    dir: &place.dir,
                    engine: &place.engine,
                };
                subject.prepare(&run).map_err(Failed::Store)
            })
        })
        .with(&WRITE, move |task: WriteTask, _| {
            with(&task.place, &|subject| carry_out_write(subject, &task))
        })
        .with(&RECOVER, move |task: RecoverTask, _| {
            with(&task.place, &|subject| {
                let survivors = carry_out_recovery(subject, &task.place.engine, &task.recovery)
                    .map_err(Failed::Store)?;
                let output = File::options().write(true).open(&task.output);
                let written = output.and_then(|mut output| output.write_all(&survivors));
                Ok(written.map_err(|error| at(&task.output, &error))?)
            })
        })
        .with(&CHECK, move |task: CheckTask, _| {
            with(&task.place, &|subject| {
                answer(&task.answers, |recovery: Recovery| {
                    carry_out_recovery(subject, &task.place.engine, &recovery)
                })
                .map_err(Failed::Environment)
            })
        })
}

/// An error with the path of the file that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn carry_out_write(subject: &dyn Subject, task: &WriteTask) -> Result<(), Failed> {
    let history = History::open(&task.history);
    let recorder = Recorder::new(history.map_err(|error| at(&task.history, &error))?);
    let run = WriteRun {
        dir: &task.place.dir,
        engine: &task.place.engine,
        workload: &task.workload,
        recorder: &recorder,
    };
    subject.write(&run).map_err(Failed::Store)?;
    if task.ends {
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn carry_out_recovery(
    subject: &dyn Subject,
    engine: &str,
    recovery: &Recovery,
) -> Result<Vec<u8>, SubjectError> {
    let mut survivors = Survivors::new(&recovery.workloads);
    let run = RecoverRun {
        dir: &recovery.dir,
        engine,
        close: recovery.close,
    };
    subject.recover(&run, &mut survivors)?;
    Ok(Survivor::encode_all(&survivors.entries))
}
