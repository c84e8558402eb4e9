//! The rounds of one thread.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rand::RngExt;

use super::explore::Explorer;
use super::keep::keep;
use super::prepared::Prepared;
use super::rounds::Round;
use super::search::Halt;
use super::timeline::Timeline;
use super::watch::{About, Watch};
use super::world::{Bench, STORE, World};
use crate::crash_kind::CrashKind;
use crate::finding::Found;
use crate::kinds::contract::{Job, Worker};
use crate::kinds::early::Early;
use crate::kinds::sought::Sought;
use crate::plan::Plan;
use crate::sim::SyncFilter;
use crate::tally::Tally;
use crate::workload::stream;

/// Rounds of one kind, on one thread. A round begins with an empty disk and depends on its number and
/// the seed alone.
pub(crate) struct Simulation<'a> {
    crash: CrashKind,
    bench: Bench<'a>,
    plan: &'a Plan,
    /// Where the disks of failures are laid out.
    image: PathBuf,
    row: u64,
    sought: Sought,
    /// Classes of failures that have been told of.
    told: BTreeSet<String>,
    /// What ended a round that had found something before.
    error: Option<io::Error>,
}

impl<'a> Simulation<'a> {
    /// # Panics
    /// If the subject does not run on the simulated file system.
    pub(crate) fn new(job: &Job<'a>) -> Self {
        let (subject, store) = job.tested.simulated().expect("it was asked before");
        let crash = job.case.crash;
        Self {
            crash,
            bench: Bench {
                subject,
                store,
                watch: Watch::begin(About {
                    subject: subject.name().to_owned(),
                    crash,
                    seed: job.plan.seed,
                    limit: job.plan.hang_limit,
                    out: job.plan.out.clone(),
                    given: job.plan.image.clone(),
                    on_hang: Arc::clone(job.on_hang),
                }),
                filter: None,
                stop: job.plan.stop.clone(),
                early: Early::of(job.plan),
                prepared: Prepared::default(),
            },
            plan: job.plan,
            image: job.scratch.join(format!("{}-image", job.name())),
            row: job.row,
            sought: job.sought(),
            told: BTreeSet::new(),
            error: None,
        }
    }

    /// From now on, `filter` is asked before every sync whether to leave it out.
    pub(crate) fn filter_syncs(mut self, filter: Arc<dyn SyncFilter>) -> Self {
        self.bench.filter = Some(filter);
        self
    }
}

impl Worker for Simulation<'_> {
    /// One round, on a disk of its own.
    fn round(&mut self, number: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.bench.prepared.is_none() {
            self.bench.prepared = Prepared::of(self.plan, STORE)?;
        }
        let mut rng = stream(self.plan.seed, self.row << 32 | number);
        let mut engines = self.plan.engines_of(self.bench.subject.engines());
        engines.retain(|engine| self.bench.store.runs(engine));
        let profiles = self.plan.profiles();
        let timeline = Timeline {
            engine: engines[rng.random_range(0..engines.len())].to_owned(),
            profile: profiles[rng.random_range(0..profiles.len())],
            seed: rng.random_range(0..u64::MAX),
            steps: Vec::new(),
            damage: Vec::new(),
            recovery_faults: Vec::new(),
        };
        tally.count_engine(&timeline.engine);
        tally.rounds += 1;
        let sought = self.sought.clone();
        let planned = self.plan.faults.iter();
        let planned = planned.filter_map(|planned| planned.simulated().ok());
        let mut round = Round {
            planned: planned.collect(),
            world: World::new(self.bench.clone(), timeline)?,
            explorer: Explorer::new(rng, sought.clone(), tally),
        };
        let outcome = match self.crash {
            CrashKind::Fault => round.fault(),
            CrashKind::Rot => round.rot(),
            _ => round.power(),
        };
        match outcome.map_err(Halt::failure) {
            Ok(()) => {}
            Err(Ok(failure)) => round.explorer.search.keep(failure),
            Err(Err(error)) if round.explorer.search.failures.is_empty() => return Err(error),
            Err(Err(error)) => self.error = Some(error),
        }
        let about = (self.crash, self.plan.seed);
        let mut findings = Vec::new();
        // Each has a disk to be laid out. Those that were told of before are counted by now.
        for (class, kept) in round.explorer.search.failures {
            if self.told.insert(class) || matches!(sought, Sought::First(_)) {
                let image = self.image.join(findings.len().to_string());
                findings.push(Found {
                    finding: keep(&self.bench, *kept.failure, about, &image)?.in_round(number),
                    states: kept.states,
                    at: kept.at,
                });
            }
        }
        Ok(findings)
    }
}
