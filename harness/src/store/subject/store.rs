//! A [`Subject`], and what is known of its directory.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::roles::{
    CHECK, CheckTask, PREPARE, Place, RECOVER, RecoverTask, Recovery, WRITE, WriteTask,
};
use crate::crash_kind::CrashKind;
use crate::disk::Clock;
use crate::finding::{Finding, Head};
use crate::history::{Event, History};
use crate::lifespan::Lifespan;
use crate::memory_file::memory_file;
use crate::oracle::{self, Oracle, Stage, Violation};
use crate::plan::Plan;
use crate::process::{Checker, Launcher, Order, Unanswered};
use crate::store::{
    Announced, Assignment, Calls, Damaged, Life, NextBase, Preparations, Recovered, Silent, Stop,
    Store, Until, Watched, Work, Written,
};
use crate::subject::Subject;
use crate::survivor::Survivor;
use crate::workload::Workload;

/// More than a writer announces before it is killed.
const EVENTS_MAX: usize = 1 << 17;
/// The same for one that writes a little.
const FEW_EVENTS_MAX: usize = 1 << 14;
/// A recovery is killed within this time.
const RECOVERY_CUT: Duration = Duration::from_millis(4);
/// The events that a story quotes.
const EVENTS_TOLD: usize = 12;

/// A [`Subject`] and what is known of its directory.
pub(crate) struct SubjectStore<'a> {
    subject: &'a dyn Subject,
    engines: Vec<&'static str>,
    lifespan: Lifespan,
    seed: u64,
    launcher: Launcher,
    limit: Duration,
    engine: String,
    checker: Checker,
    oracle: Box<dyn Oracle>,
    workloads: Vec<Workload>,
    /// Of the device on which the next generation writes.
    clock: Option<History>,
    writing: Option<Writing>,
    /// Where the process that recovers puts what survives.
    output: Option<File>,
    preparations: Preparations,
}

/// A writer that runs.
struct Writing {
    history: History,
    /// It may end by itself.
    may_end: bool,
}

impl<'a> SubjectStore<'a> {
    pub(crate) fn new(subject: &'a dyn Subject, plan: &Plan) -> Self {
        Self {
            subject,
            engines: plan.engines_of(subject.engines()),
            lifespan: plan.lifespan,
            seed: plan.seed,
            launcher: plan.launcher.clone(),
            limit: plan.hang_limit,
            engine: String::new(),
            checker: Checker::new(&plan.launcher, plan.hang_limit),
            oracle: subject.oracle(),
            workloads: Vec::new(),
            clock: None,
            writing: None,
            output: None,
            preparations: Preparations::new(plan.image.as_deref()),
        }
    }

    fn place(&self, dir: &Path) -> Place {
        Place {
            subject: self.subject.name().to_owned(),
            engine: self.engine.clone(),
            dir: dir.to_owned(),
        }
    }

    fn recovery_of(&self, dir: &Path, close: bool) -> Recovery {
        Recovery {
            dir: dir.to_owned(),
            workloads: self.workloads.clone(),
            close,
        }
    }

    /// Recovers in the process that lives on.
    fn ask(&mut self, dir: &Path, close: bool) -> io::Result<Result<Vec<Survivor>, Unanswered>> {
        let place = self.place(dir);
        let recovery = self.recovery_of(dir, close);
        let order = |answers| Order::new(&CHECK, &CheckTask { place, answers });
        let answer = self.checker.ask(&recovery, order)?;
        Ok(answer.map(|bytes| Survivor::decode_all(&bytes)))
    }

    fn life_max(&self) -> Duration {
        let asked = self.lifespan.life;
        asked.unwrap_or_else(|| self.subject.life_max())
    }

    /// An instant for a kill. Half of them are spread over time, so that opening and idling are hit;
    /// half lie a little after some event, so that work is.
    fn kill_instant(&self, rng: &mut ChaCha8Rng) -> Until {
        let life_max = self.life_max();
        let event = rng.random_bool(0.5).then(|| {
            let magnitude = rng.random_range(0..10);
            rng.random_range(1..2_u64 << magnitude)
        });
        let spread = match event {
            None => life_max,
            Some(_) => Duration::from_micros(300),
        };
        let look = Duration::from_micros(20);
        Until {
            announcements: self.lifespan.lines(event.unwrap_or(0)),
            life: Life::FromStart(life_max),
            wait: up_to(spread, rng),
            looks: (look, look),
            ..Until::END
        }
    }

    fn start(
        &mut self,
        dir: &Path,
        workload: Workload,
        may_end: bool,
        until: Until,
    ) -> io::Result<Assignment> {
        let events_max = if may_end { FEW_EVENTS_MAX } else { EVENTS_MAX };
        let history = match self.clock.take() {
            Some(history) => history,
            None => History::create(events_max)?,
        };
        let task = WriteTask {
            place: self.place(dir),
            history: history.path().into(),
            workload,
            ends: may_end,
        };
        self.writing = Some(Writing {
            history: history.clone(),
            may_end,
        });
        Ok(Assignment {
            order: Order::new(&WRITE, &task)?,
            announcer: Arc::new(history),
            until,
            ring_waits: self.subject.has_one_request_in_flight(&self.engine),
        })
    }
}

impl Store for SubjectStore<'_> {
    fn begin(&mut self, rng: &mut ChaCha8Rng) {
        let engine = self.engines[rng.random_range(0..self.engines.len())];
        engine.clone_into(&mut self.engine);
        self.checker.release();
        self.oracle = self.subject.oracle();
        self.workloads.clear();
    }

    fn preparation(&mut self, dir: &Path) -> io::Result<Option<Assignment>> {
        Ok(Some(Assignment {
            order: Order::new(&PREPARE, &self.place(dir))?,
            announcer: Arc::new(Silent),
            until: Until::END,
            ring_waits: false,
        }))
    }

    fn preparations(&mut self) -> &mut Preparations {
        &mut self.preparations
    }

    fn generations(&self) -> usize {
        self.workloads.len()
    }

    fn kills_max(&self) -> usize {
        24
    }

    fn engine(&self) -> &str {
        &self.engine
    }

    fn launching(&self) -> (&Launcher, Duration) {
        (&self.launcher, self.limit)
    }

    fn clock(&mut self) -> io::Result<Arc<dyn Clock>> {
        let history = History::create(FEW_EVENTS_MAX)?;
        self.clock = Some(history.clone());
        Ok(Arc::new(history))
    }

    fn writer(
        &mut self,
        dir: &Path,
        work: Work<'_>,
        rng: &mut ChaCha8Rng,
    ) -> io::Result<Assignment> {
        let generation = u32::try_from(self.workloads.len()).expect("a few generations");
        let (workload, may_end, until) = match work {
            Work::UntilKilled => {
                let workload = Workload::draw(rng, generation);
                (workload, false, self.kill_instant(rng))
            }
            Work::Traced => {
                let workload = Workload::draw_small(rng, generation);
                let calls = match self.lifespan.calls {
                    Some(max) => rng.random_range(max.div_ceil(3)..=max.max(1)),
                    None => rng.random_range(60..200),
                };
                let calls = Calls::FromStart(calls);
                let until = Until {
                    calls,
                    ..Until::END
                };
                (workload, true, until)
            }
            Work::Scripted(workload) => (workload.clone(), true, Until::END),
            Work::OnDevice => {
                let workload = Workload {
                    actions_max: Some(rng.random_range(4..24)),
                    ..Workload::draw_small(rng, generation)
                };
                (workload, true, Until::END)
            }
        };
        self.workloads.push(workload.clone());
        self.start(dir, workload, may_end, until)
    }

    fn writer_again(&mut self, dir: &Path) -> io::Result<Assignment> {
        let workload = self.workloads.last().cloned();
        let workload = workload.ok_or_else(|| io::Error::other("the failure has no workload"))?;
        let until = Until {
            life: Life::FromStart(4 * self.life_max()),
            ..Until::END
        };
        self.start(dir, workload, false, until)
    }

    fn take_back(&mut self) {
        self.workloads.pop();
    }

    fn written(&mut self, watched: &Watched) -> io::Result<Written> {
        let Writing { history, may_end } = self.writing.take().expect("a writer was started");
        let broken = |stage, detail| Some(Violation::Broken { stage, detail });
        let ended = &watched.ended;
        ended.check_environment()?;
        let failed = match &watched.stop {
            Stop::Hangs(how) => broken(Stage::WriterFailed, format!("it hangs: {how}")),
            _ if ended.killed || may_end && ended.status.success() => None,
            _ if may_end => broken(Stage::WriterFailed, ended.words()),
            _ => broken(Stage::WriterStopped, ended.words()),
        };
        Ok(Written {
            announced: Announced::Shared(history),
            failed,
        })
    }

    fn recovery(&mut self, dir: &Path, close: bool) -> io::Result<Assignment> {
        let output = memory_file("plugpull-survivors")?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), output.as_raw_fd());
        self.output = Some(output);
        let task = RecoverTask {
            place: self.place(dir),
            output: path.into(),
            recovery: self.recovery_of(dir, close),
        };
        Ok(Assignment {
            order: Order::new(&RECOVER, &task)?,
            announcer: Arc::new(Silent),
            until: Until::END,
            ring_waits: self.subject.has_one_request_in_flight(&self.engine),
        })
    }

    fn recovered(&mut self, watched: &Watched) -> io::Result<Recovered> {
        let mut output = self.output.take().expect("a recovery was started");
        let ended = &watched.ended;
        ended.check_environment()?;
        let detail = match &watched.stop {
            Stop::Hangs(how) => format!("it hangs: {how}"),
            _ if ended.is_clean() => {
                let mut bytes = Vec::new();
                output.rewind()?;
                output.read_to_end(&mut bytes)?;
                return Ok(Ok(Survivor::decode_all(&bytes)));
            }
            _ if ended.status.success() => {
                "it has left processes behind that it had started".to_owned()
            }
            _ => ended.words(),
        };
        let stage = Stage::RecoveryFailed;
        Ok(Err(Violation::Broken { stage, detail }))
    }

    fn recover(&mut self, dir: &Path, close: bool) -> io::Result<Recovered> {
        let answer = self.ask(dir, close)?;
        Ok(answer.map_err(|unanswered| Violation::Broken {
            stage: Stage::RecoveryFailed,
            detail: unanswered.words(),
        }))
    }

    fn recover_damaged(&mut self, dir: &Path) -> io::Result<Damaged> {
        Ok(self.ask(dir, false)?.into())
    }

    fn release(&mut self) {
        self.checker.release();
    }

    fn recovery_cut(&self, rng: &mut ChaCha8Rng) -> Duration {
        up_to(RECOVERY_CUT, rng)
    }

    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        self.oracle.check(events, survivors)
    }

    fn check_damaged(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let mut lenient = oracle::copy(&*self.oracle, || self.subject.oracle());
        lenient.excuse(0);
        match lenient.check(events, survivors) {
            Err(violation) if !violation.is_loss() => Err(violation),
            _ => Ok(()),
        }
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.oracle.advance(events, survivors);
    }

    /// Recovery is deterministic by contract, and a writer that opens what a crash left, torn tail
    /// and all, is what a store meets in its life.
    fn next_base(&self) -> NextBase {
        NextBase::CrashState
    }

    fn finding(&self, crash: CrashKind, violation: Violation, events: Vec<Event>) -> Finding {
        let mut head = Head {
            oracle: self.oracle.save(),
            workloads: self.workloads.clone(),
            progress: Some(progress(self.workloads.len(), &events)),
            ..Head::new(self.subject.name(), &self.engine, violation)
        };
        head.about.extend(self.preparations.about());
        let last = events.len().saturating_sub(EVENTS_TOLD);
        let (entry, has_keys) = (|id| self.entry_name(id), Event::have_keys(&events));
        let last = events[last..].iter();
        let last = last.map(|event| format!("    {}", event.in_words(&entry, has_keys)));
        let last: Vec<String> = last.collect();
        let story = format!(
            "`image/` is the store as the crash left it, before recovery touched it. `failure.json` holds \
             what had been announced and what earlier recoveries had shown. Announced last:\n\n{}\n",
            last.join("\n")
        );
        Finding::new(crash, self.seed, head)
            .with_events(events)
            .with_story(story)
    }

    fn resume(&mut self, finding: &Finding) -> io::Result<()> {
        finding.engine.clone_into(&mut self.engine);
        self.oracle.restore(finding.oracle.clone())?;
        self.workloads.clone_from(&finding.workloads);
        Ok(())
    }
}

fn progress(generations: usize, events: &[Event]) -> String {
    let count = |of: fn(&Event) -> bool| events.iter().filter(|event| of(event)).count();
    let tried = count(|event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. }));
    let acked = count(|event| matches!(event, Event::Ack { .. }));
    format!(
        "generation {} of its directory: {tried} attempts, {acked} acknowledged",
        generations.saturating_sub(1)
    )
}

fn up_to(max: Duration, rng: &mut ChaCha8Rng) -> Duration {
    let micros = u64::try_from(max.as_micros()).expect("a short time");
    Duration::from_micros(rng.random_range(0..micros.max(1)))
}
