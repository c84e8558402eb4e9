//! Any of the stores, as a subject.

use std::path::{Path, PathBuf};
use std::time::Duration;

use plugpull::oracle::{KeyValueOracle, LogOracle, Oracle};
use plugpull::{RecoverRun, Simulated, Subject, SubjectError, Survivors, WriteRun};

use crate::creation;
use crate::key_value::{self, KeyValue};
use crate::log::{self, Log};
use crate::seam::{OpenSimulated, Seam};
use crate::writers;

type Create = dyn Fn(&Path) -> Result<(), SubjectError> + Send + Sync;
type Write = dyn Fn(&Path, &WriteRun) -> Result<(), SubjectError> + Send + Sync;
type Recover = dyn Fn(&Path, &RecoverRun, &mut Survivors) -> Result<(), SubjectError> + Send + Sync;

/// A store in one of its modes.
pub(crate) struct Neighbour {
    name: &'static str,
    weak: Option<&'static str>,
    life_max: Duration,
    oracle: fn() -> Box<dyn Oracle>,
    aside: bool,
    create: Box<Create>,
    write: Box<Write>,
    recover: Box<Recover>,
    seam: Option<Box<dyn Simulated>>,
}

impl Neighbour {
    /// A key-value store; `open` creates it if there is none in the directory.
    pub(crate) fn key_value<S: KeyValue + 'static>(
        name: &'static str,
        open: fn(&Path) -> Result<S, SubjectError>,
    ) -> Self {
        Self {
            name,
            weak: None,
            life_max: LIFE_MAX,
            oracle: || Box::new(KeyValueOracle::default()),
            aside: false,
            create: Box::new(move |dir| open(dir)?.close()),
            write: Box::new(move |dir, run| {
                let store = open(dir)?;
                let (workload, recorder) = (run.workload, run.recorder);
                writers::run(workload, |action| {
                    key_value::write(&store, workload, recorder, action)
                })?;
                key_value::leave(store, false)
            }),
            recover: Box::new(move |dir, run, survivors| {
                let store = open(dir)?;
                key_value::show(&store, survivors)?;
                key_value::leave(store, run.close)
            }),
            seam: None,
        }
    }

    /// A log; `open` creates it if there is none in the directory.
    pub(crate) fn log<L: Log + 'static>(
        name: &'static str,
        open: fn(&Path) -> Result<L, SubjectError>,
    ) -> Self {
        Self {
            name,
            weak: None,
            life_max: LIFE_MAX,
            oracle: || Box::new(LogOracle::default()),
            aside: false,
            create: Box::new(move |dir| open(dir)?.close()),
            write: Box::new(move |dir, run| {
                let log = open(dir)?;
                log::write(&log, run.workload, run.recorder)?;
                log.close()
            }),
            recover: Box::new(move |dir, run, survivors| {
                let log = open(dir)?;
                log::show(&log, survivors)?;
                if run.close { log.close() } else { Ok(()) }
            }),
            seam: None,
        }
    }

    /// A crash during the store's creation must not be the end of it: see [`creation`].
    pub(crate) fn created_aside(self) -> Self {
        Self {
            aside: true,
            ..self
        }
    }

    fn dir(&self, dir: &Path) -> Result<PathBuf, SubjectError> {
        if self.aside {
            creation::aside(dir, &self.create)
        } else {
            Ok(dir.to_owned())
        }
    }

    /// The same key-value store on the simulated file system.
    pub(crate) fn simulated<S: KeyValue + 'static>(self, open: OpenSimulated<S>) -> Self {
        Self {
            seam: Some(Box::new(Seam(open))),
            ..self
        }
    }

    /// A mode of which the documentation says that it loses entries: why it does.
    pub(crate) fn weak(self, reason: &'static str) -> Self {
        Self {
            weak: Some(reason),
            ..self
        }
    }
}

/// Several threads and files take longer to start than the writers that plugpull has in mind.
const LIFE_MAX: Duration = Duration::from_millis(150);

impl Subject for Neighbour {
    fn name(&self) -> &str {
        self.name
    }

    fn exhibit(&self) -> Option<&str> {
        self.weak
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        (self.oracle)()
    }

    fn life_max(&self) -> Duration {
        self.life_max
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        (self.write)(&self.dir(run.dir)?, run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        (self.recover)(&self.dir(run.dir)?, run, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        self.seam.as_deref()
    }
}
