//! Any of the stores, as a subject.

use std::path::Path;
use std::time::Duration;

use plugpull::oracle::{KeyValueOracle, LogOracle, Oracle};
use plugpull::{RecoverRun, Simulated, Subject, SubjectError, Survivors, WriteRun};

use crate::key_value::{self, KeyValue};
use crate::log::{self, Log};
use crate::seam::{OpenSimulated, Seam};
use crate::writers;

type Write = dyn Fn(&WriteRun) -> Result<(), SubjectError> + Send + Sync;
type Recover = dyn Fn(&RecoverRun, &mut Survivors) -> Result<(), SubjectError> + Send + Sync;

/// A store in one of its modes.
pub(crate) struct Neighbour {
    name: &'static str,
    weak: Option<&'static str>,
    life_max: Duration,
    oracle: fn() -> Box<dyn Oracle>,
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
            write: Box::new(move |run| {
                let store = open(run.dir)?;
                let (workload, recorder) = (run.workload, run.recorder);
                writers::run(workload, |action| {
                    key_value::write(&store, workload, recorder, action)
                })
            }),
            recover: Box::new(move |run, survivors| {
                let store = open(run.dir)?;
                key_value::show(&store, survivors)?;
                if run.close { store.close() } else { Ok(()) }
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
            write: Box::new(move |run| log::write(&open(run.dir)?, run.workload, run.recorder)),
            recover: Box::new(move |run, survivors| {
                let log = open(run.dir)?;
                log::show(&log, survivors)?;
                if run.close { log.close() } else { Ok(()) }
            }),
            seam: None,
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
        (self.write)(run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        (self.recover)(run, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        self.seam.as_deref()
    }
}
