//! What is under test on a disk: something that writes and recovers in a directory, and promises.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::checker::Checker;
use crate::child::{Role, Running, Target};
use crate::crash::CrashKind;
use crate::disk::Clock;
use crate::finding::Finding;
use crate::history::{Event, History};
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::subject::{Subject, Survivor};
use crate::workload::Workload;

const EVENTS_MAX: usize = 1 << 14;

/// Events, each with what the device's clock said when it was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced(pub(crate) Vec<(u64, Event)>);

impl Announced {
    /// What had been announced at an index of the clock.
    pub(crate) fn at(&self, index: u64) -> Vec<Event> {
        let by_then = self.0.iter().filter(|(clock, _)| *clock <= index);
        by_then.map(|(_, event)| *event).collect()
    }

    /// The same events, all of them announced before anything was asked of the device.
    pub(crate) fn before_all(events: Vec<Event>) -> Self {
        Self(events.into_iter().map(|event| (0, event)).collect())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.at(u64::MAX)
    }
}

/// What a generation of writers did.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) announced: Announced,
    /// What the writer did wrong, by itself.
    pub(crate) failed: Option<Violation>,
}

/// A store, generation after generation in one directory on one device.
pub(crate) trait Store {
    /// The directory is empty and nothing is known of it.
    fn begin(&mut self, rng: &mut ChaCha8Rng);

    /// Generations written since.
    fn generations(&self) -> usize;

    fn engine(&self) -> &str;

    /// What the device is to raise while the next generation writes.
    fn clock(&mut self) -> io::Result<Arc<dyn Clock>>;

    /// Lets the next generation write in `dir`, on the device that raises the clock.
    fn write(&mut self, dir: &Path, rng: &mut ChaCha8Rng) -> io::Result<Written>;

    /// Recovers what is in `dir`. The inner error is what the store did wrong.
    fn recover(&mut self, dir: &Path, close: bool) -> io::Result<Result<Vec<Survivor>, Violation>>;

    /// Whether survivors are what the last generation's events promise.
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation>;

    /// The next generation goes on behind these survivors.
    fn advance(&mut self, events: &[Event], survivors: &[Survivor]);

    /// A failure, as far as it is not the disk's to tell.
    fn finding(&self, violation: Violation, events: Vec<Event>) -> Finding;
}

/// A [`Subject`] and what is known of it.
pub(crate) struct SubjectStore<'a> {
    subject: &'a dyn Subject,
    engines: Vec<&'static str>,
    seed: u64,
    target: Target,
    checker: Checker,
    oracle: Box<dyn Oracle>,
    workloads: Vec<Workload>,
    history: Option<History>,
}

impl<'a> SubjectStore<'a> {
    pub(crate) fn new(subject: &'a dyn Subject, plan: &Plan, scratch: &Path) -> Self {
        let target = Target {
            launcher: plan.launcher.clone(),
            subject: subject.name().to_owned(),
            engine: String::new(),
            dir: scratch.to_owned(),
            hang_limit: plan.hang_limit,
        };
        Self {
            subject,
            engines: plan.engines_of(subject),
            seed: plan.seed,
            checker: Checker::new(target.clone()),
            target,
            oracle: subject.oracle(),
            workloads: Vec::new(),
            history: None,
        }
    }

    /// As it was when a failure was found.
    pub(crate) fn of(mut self, finding: &Finding) -> io::Result<Self> {
        finding.engine.clone_into(&mut self.target.engine);
        self.checker = Checker::new(self.target.clone());
        self.oracle.restore(finding.oracle.clone())?;
        self.workloads.clone_from(&finding.workloads);
        Ok(self)
    }
}

impl Store for SubjectStore<'_> {
    fn begin(&mut self, rng: &mut ChaCha8Rng) {
        let engine = self.engines[rng.random_range(0..self.engines.len())];
        engine.clone_into(&mut self.target.engine);
        self.checker = Checker::new(self.target.clone());
        self.oracle = self.subject.oracle();
        self.workloads.clear();
    }

    fn generations(&self) -> usize {
        self.workloads.len()
    }

    fn engine(&self) -> &str {
        &self.target.engine
    }

    fn clock(&mut self) -> io::Result<Arc<dyn Clock>> {
        let history = History::create(EVENTS_MAX)?;
        self.history = Some(history.clone());
        Ok(Arc::new(history))
    }

    fn write(&mut self, dir: &Path, rng: &mut ChaCha8Rng) -> io::Result<Written> {
        let generation = u32::try_from(self.workloads.len()).expect("a few generations");
        let workload = Workload {
            actions_max: Some(rng.random_range(4..24)),
            ..Workload::draw_small(rng, generation)
        };
        self.workloads.push(workload.clone());
        let history = self
            .history
            .take()
            .expect("a device was made with its clock");
        let target = Target {
            dir: dir.to_owned(),
            ..self.target.clone()
        };
        let role = Role::WriteToTheEnd {
            history: history.path().into(),
            workload,
        };
        let mut writer = Running::start(&target, role)?;
        let failed = match writer.wait()? {
            Some(ended) if ended.is_success() => None,
            Some(_) => Some(writer.output()),
            None => Some(format!("it hangs: no end after {:?}", target.hang_limit)),
        };
        let failed = failed.map(|detail| {
            let broken = Violation::Broken {
                stage: "the writer failed".into(),
                detail,
            };
            broken.without_dir(dir)
        });
        Ok(Written {
            announced: Announced(history.events_with_clock()),
            failed,
        })
    }

    fn recover(&mut self, dir: &Path, close: bool) -> io::Result<Result<Vec<Survivor>, Violation>> {
        let recovered = self.checker.recover(dir, &self.workloads, close)?;
        Ok(recovered.map_err(|detail| {
            let broken = Violation::Broken {
                stage: "recovery failed".into(),
                detail,
            };
            broken.without_dir(dir)
        }))
    }

    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        self.oracle.check(events, survivors)
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.oracle.advance(events, survivors);
    }

    fn finding(&self, violation: Violation, events: Vec<Event>) -> Finding {
        Finding {
            version: env!("CARGO_PKG_VERSION").into(),
            subject: self.target.subject.clone(),
            engine: self.target.engine.clone(),
            crash: CrashKind::Disk,
            seed: self.seed,
            crash_point: String::new(),
            violation,
            oracle: self.oracle.save(),
            workloads: self.workloads.clone(),
            script: Vec::new(),
            tale: None,
            events,
            image: std::path::PathBuf::new(),
            timeline: None,
            disk: None,
            black_box: None,
        }
    }
}
