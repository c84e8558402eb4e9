//! `kill`: SIGKILL at a random instant, then recovery in a fresh process, generation after
//! generation on one directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::child::{Launcher, Running, Target, recover};
use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::history::{Event, History};
use crate::oracle::{Oracle, Violation};
use crate::plan::{HANG_LIMIT, Plan};
use crate::scratch::{copy_dir, remove_dir};
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;
use crate::workload::Workload;

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: u32 = 24;
const EVENTS_MAX: usize = 1 << 17;

/// One directory after another, killed again and again. Each runs on one thread; its plan depends
/// on its seed only.
pub(crate) struct Lane<'a> {
    subject: &'a dyn Subject,
    target: Target,
    plan: &'a Plan,
    engines: Vec<&'static str>,
    evidence: PathBuf,
    rng: ChaCha8Rng,
    oracle: Box<dyn Oracle>,
    /// Of this directory's generations so far.
    workloads: Vec<Workload>,
}

impl<'a> Lane<'a> {
    /// `name` tells this lane's directories from those of others below `scratch`.
    pub(crate) fn new(
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        Self {
            subject,
            target: Target {
                launcher: plan.launcher.clone(),
                subject: subject.name().to_owned(),
                engine: String::new(),
                dir: scratch.join(format!("{name}-store")),
                hang_limit: plan.hang_limit,
            },
            plan,
            engines: plan.engines_of(subject),
            evidence: scratch.join(format!("{name}-evidence")),
            rng,
            oracle: subject.oracle(),
            workloads: Vec::new(),
        }
    }

    /// One generation: write, kill, recover, check. Counts what it did in `tally`.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        if self.workloads.len() >= GENERATIONS as usize {
            self.workloads.clear();
        }
        if self.workloads.is_empty() {
            remove_dir(&self.target.dir)?;
            fs::create_dir_all(&self.target.dir)?;
            self.oracle = self.subject.oracle();
            self.target.engine = self.engines[self.rng.random_range(0..self.engines.len())].into();
        }
        let generation = u32::try_from(self.workloads.len()).expect("a few generations");
        self.workloads
            .push(Workload::draw(&mut self.rng, generation));
        *tally.engines.entry(self.target.engine.clone()).or_default() += 1;

        let history = History::create(EVENTS_MAX)?;
        let stopped_by_itself = self.write_until_killed(&history)?;
        let events = history.events();
        remove_dir(&self.evidence)?;
        copy_dir(&self.target.dir, &self.evidence)?;
        tally.count_round(&events);

        let verdict = match stopped_by_itself {
            Some(output) => Err(broken("the writer stopped by itself", output)),
            None => self.recover_and_check(&events, tally)?,
        };
        match verdict {
            Ok(survivors) => {
                self.oracle.advance(&events, &survivors);
                Ok(None)
            }
            Err(violation) => {
                tally.violated(&violation);
                Ok(Some(Finding {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    subject: self.target.subject.clone(),
                    engine: self.target.engine.clone(),
                    crash: CrashKind::Kill,
                    seed: self.plan.seed,
                    crash_point: format!("SIGKILL after {} events", events.len()),
                    violation: violation.without_dir(&self.target.dir),
                    oracle: self.oracle.save(),
                    workloads: std::mem::take(&mut self.workloads),
                    script: Vec::new(),
                    events,
                    image: self.evidence.clone(),
                    timeline: None,
                    disk: None,
                    tale: None,
                    black_box: None,
                }))
            }
        }
    }

    /// Runs a writer and kills it at an instant drawn from the seed. If it was dead already,
    /// returns what it printed.
    fn write_until_killed(&mut self, history: &History) -> io::Result<Option<String>> {
        let workload = self.workloads.last().expect("one was just drawn");
        let life_max = self.subject.life_max();
        // Half of the instants are spread over time, so that opening and idling are hit; half lie a
        // little after some event, so that work is.
        let after_event = self.rng.random_bool(0.5).then(|| {
            let magnitude = self.rng.random_range(0..10);
            self.rng.random_range(1..2_u64 << magnitude)
        });
        let wait = match after_event {
            None => Duration::from_micros(self.rng.random_range(0..micros(life_max))),
            Some(_) => Duration::from_micros(self.rng.random_range(0..300)),
        };
        let mut writer = Running::writer(&self.target, history, workload)?;
        let started = Instant::now();
        if let Some(event) = after_event {
            while history.reserved() < event && started.elapsed() < life_max && writer.is_alive()? {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
        std::thread::sleep(wait);
        Ok(if writer.kill()? {
            None
        } else {
            Some(writer.output())
        })
    }

    /// Recovers, checks, and on a sample recovers again.
    fn recover_and_check(
        &mut self,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        if self.rng.random_bool(0.125) {
            self.kill_recovery()?;
            tally.recoveries_killed += 1;
        }
        let close = self.rng.random_bool(0.25);
        let survivors = match attempt(&self.target, &self.workloads, close)? {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(Err(violation)),
        };
        tally.crash_states += 1;
        tally.recovered += survivors.len() as u64;
        if let Err(violation) = self.oracle.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.125) {
            tally.second_recoveries += 1;
            let again = match attempt(&self.target, &self.workloads, false)? {
                Ok(again) => again,
                Err(violation) => return Ok(Err(violation)),
            };
            if again != survivors {
                let detail = format!(
                    "{} entries first, {} the second time",
                    survivors.len(),
                    again.len()
                );
                return Ok(Err(Violation::NotIdempotent { detail }));
            }
        }
        Ok(Ok(survivors))
    }

    /// A crash in the middle of recovery: the recovery after it must show the same.
    fn kill_recovery(&mut self) -> io::Result<()> {
        let (mut child, _survivors) = Running::recoverer(&self.target, &self.workloads, false)?;
        std::thread::sleep(Duration::from_micros(self.rng.random_range(0..4000)));
        child.kill().map(drop)
    }
}

/// Checks a finding again: recovers a copy of its image and asks the oracle.
pub(crate) fn check_again(
    subject: &dyn Subject,
    finding: &Finding,
    scratch: &Path,
) -> io::Result<Result<(), Violation>> {
    let dir = scratch.join("replay");
    copy_dir(&finding.image, &dir)?;
    let target = Target {
        launcher: Launcher::Binary,
        subject: finding.subject.clone(),
        engine: finding.engine.clone(),
        dir,
        hang_limit: HANG_LIMIT,
    };
    let mut oracle = subject.oracle();
    oracle.restore(finding.oracle.clone())?;
    if let Violation::Broken { stage, .. } = &finding.violation
        && stage.contains("writer")
    {
        // The writer failed, not recovery: let it write once more.
        let history = History::create(EVENTS_MAX)?;
        let workload = finding.workloads.last().expect("a finding has a workload");
        let mut writer = Running::writer(&target, &history, workload)?;
        std::thread::sleep(4 * subject.life_max());
        if !writer.kill()? {
            return Ok(Err(broken(stage, writer.output())));
        }
    }
    Ok(match attempt(&target, &finding.workloads, false)? {
        Ok(survivors) => oracle.check(&finding.events, &survivors),
        Err(violation) => Err(violation),
    })
}

fn attempt(
    target: &Target,
    workloads: &[Workload],
    close: bool,
) -> io::Result<Result<Vec<Survivor>, Violation>> {
    match recover(target, workloads, close) {
        Ok(survivors) => Ok(Ok(survivors)),
        Err(Ok(detail)) => Ok(Err(broken("recovery failed", detail))),
        Err(Err(error)) => Err(error),
    }
}

fn broken(stage: impl Into<String>, detail: String) -> Violation {
    Violation::Broken {
        stage: stage.into(),
        detail,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a short time")
}
