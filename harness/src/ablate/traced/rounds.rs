//! The rounds of one thread: runs are recorded, and looked at without each of their syncs.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::chain::Chain;
use super::explore::{Announcements, State, Whole};
use super::found::Found;
use crate::ablate::report::Notice;
use crate::ablate::site::SyncSite;
use crate::crash_kind::CrashKind;
use crate::history::Event;
use crate::image::Image;
use crate::kinds::{Bench, Job};
use crate::oracle::Violation;
use crate::recorder::{Followed, RecorderKind, Recording, Run, changes};
use crate::sim::{Disk, Profile, Role, Sampler};
use crate::store::{NextBase, Work, prepared};
use crate::tally::Tally;
use crate::workload::stream;

/// Generations on one disk before a fresh one is begun.
const GENERATIONS: usize = 3;
/// States of a run that are examined for one site and one profile.
const STATES_MAX: usize = 24;

/// What a thread asks and tells while it is in a round.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Whether the time is over.
    pub(super) is_over: &'a (dyn Fn() -> bool + Sync),
    /// Tells how it goes.
    pub(super) tell: &'a (dyn Fn() + Sync),
}

/// One thread's.
pub(super) struct Rounds<'a> {
    bench: Bench<'a>,
    seed: u64,
    profiles: Vec<Profile>,
    found: &'a Mutex<Found>,
    watch: Watch<'a>,
    tally: Tally,
    /// What came of the states of this run that were examined.
    verdicts: HashMap<u64, Option<Violation>>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(job: &Job<'a>, found: &'a Mutex<Found>, watch: Watch<'a>) -> Self {
        let losing = job.plan.profiles().iter().copied();
        Self {
            bench: Bench {
                store: job.tested.store(job.plan),
                dir: job.scratch.join(format!("{}-ablated", job.name())),
                recorder: job.plan.recorder.unwrap_or(RecorderKind::Trace),
                ignored: job.plan.ignored.clone(),
                rng: stream(job.plan.seed, 0),
            },
            seed: job.plan.seed,
            // Where everything survives, no sync does anything.
            profiles: losing
                .filter(|profile| *profile != Profile::Everything)
                .collect(),
            found,
            watch,
            tally: Tally::default(),
            verdicts: HashMap::new(),
        }
    }

    /// A fresh disk, and a few generations on it.
    ///
    /// # Errors
    /// If the machine fails, not the store.
    pub(super) fn round(&mut self, number: u64) -> io::Result<()> {
        self.bench.rng = stream(self.seed, 1 << 40 | number);
        self.bench.store.begin(&mut self.bench.rng);
        let image = prepared(&mut *self.bench.store, &self.bench.dir)?;
        let prepared = changes(&Image::default(), &image)?;
        let mut chain = Chain::new(&self.profiles, &prepared)?;
        for _ in 0..GENERATIONS {
            let goes_on = self.generation(&mut chain)?;
            let mut found = self.found();
            found.total.add(&std::mem::take(&mut self.tally));
            if !goes_on || found.is_over() || (self.watch.is_over)() {
                break;
            }
        }
        self.found().rounds += 1;
        Ok(())
    }

    fn found(&self) -> MutexGuard<'a, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer, a crash, and a recovery. Whether the next one can begin with what the recovery has left.
    fn generation(&mut self, chain: &mut Chain) -> io::Result<bool> {
        let (writing, known) = (Run::Write(Work::Traced), Vec::new());
        let recording = self.record(chain, writing, known)?;
        let Some(recording) = recording else {
            return Ok(false);
        };
        let announced = self.look(chain, &recording, Role::Writer)?;
        let moment = self.bench.rng.random_range(0..recording.moments());
        let known = recording.announced_at(moment);
        chain.kill(moment, announced.claimed_from(moment));
        if self.bench.rng.random_bool(0.5) {
            let which = self.bench.rng.random_range(0..chain.disks.len());
            let rng = ChaCha8Rng::seed_from_u64(self.bench.rng.next_u64());
            chain.lose_power(which, &mut Sampler::new(rng))?;
        }
        let close = self.bench.rng.random_bool(0.2);
        let recording = self.record(chain, Run::Recover { close }, known.clone())?;
        let Some(recording) = recording else {
            return Ok(false);
        };
        let Some(survivors) = &recording.recovered else {
            return Ok(false);
        };
        if let Err(violation) = self.bench.store.check(&known, survivors) {
            let how = match &*chain.disks {
                [disk] => format!("in a recovery, by the rules of `{}`", disk.profile),
                _ => "in a recovery after a kill".to_owned(),
            };
            self.breaks(&violation, &how);
            return Ok(false);
        }
        self.look(chain, &recording, Role::Recovery)?;
        self.bench.store.advance(&known, survivors);
        if self.bench.store.next_base() == NextBase::Recovered {
            // A checker reads what is there and promises nothing.
            chain.settle();
        }
        Ok(true)
    }

    /// Records a run that begins with what the chain ends with. None if the store did wrong by itself.
    fn record(
        &mut self,
        chain: &mut Chain,
        run: Run<'_>,
        known: Vec<Event>,
    ) -> io::Result<Option<Followed>> {
        // Programs see the same on all of them.
        let disk = chain.present(0)?;
        let recording = self.bench.record(run, disk, known, None, &mut self.tally)?;
        if let Some(violation) = &recording.failed {
            self.breaks(violation, "in a run under trace");
            return Ok(None);
        }
        let role = match run {
            Run::Write(_) => Role::Writer,
            Run::Recover { .. } => Role::Recovery,
        };
        if role == Role::Writer {
            let last = recording.moments() - 1;
            self.tally.count_round(&recording.announced_at(last));
        }
        chain.push(&recording, role);
        Ok(Some(recording))
    }

    /// A promise is broken with every sync in place.
    fn breaks(&self, violation: &Violation, how: &str) {
        let told = format!("{violation} ({how})");
        self.found().broken.get_or_insert(told);
    }

    /// Looks at the last run of a chain without each of the chain's sites, by the rules of each profile.
    fn look(
        &mut self,
        chain: &Chain,
        recording: &Followed,
        role: Role,
    ) -> io::Result<Announcements> {
        self.verdicts.clear();
        for (site, hits) in chain.hits() {
            let mut found = self.found();
            let known = found.sites.entry(site).or_default();
            known.runs += 1;
            match role {
                Role::Writer => known.hits.writers += hits,
                Role::Recovery => known.hits.recoveries += hits,
            }
        }
        let announced = Announcements::of(recording);
        for which in 0..chain.disks.len() {
            let whole = Whole::of(chain, which)?;
            for site in chain.sites() {
                (self.watch.tell)();
                if (self.watch.is_over)() || self.found().is_over() {
                    return Ok(announced);
                }
                self.look_without(&site, &whole, (chain, which), &announced)?;
            }
        }
        Ok(announced)
    }

    /// The same without one site, by the rules of one profile.
    fn look_without(
        &mut self,
        site: &Arc<SyncSite>,
        whole: &Whole,
        (chain, which): (&Chain, usize),
        announced: &Announcements,
    ) -> io::Result<()> {
        let profile = chain.disks[which].profile;
        let mut seen = {
            let mut found = self.found();
            let trial = found.trial(site, profile);
            if trial.notice.is_some() {
                return Ok(());
            }
            trial.known()
        };
        let without = chain.moments(which, Some(site))?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.bench.rng.next_u64());
        let mut examined = 0;
        let visit = |state: State<'_>| {
            if state.is_undecided {
                seen.undecided.insert(state.hash);
                return ControlFlow::Continue(());
            }
            if !seen.states.insert(state.hash) {
                return ControlFlow::Continue(());
            }
            examined += 1;
            match self.notice(&state) {
                Ok(None) if examined < STATES_MAX && !(self.watch.is_over)() => {
                    ControlFlow::Continue(())
                }
                Ok(notice) => {
                    seen.notice = notice;
                    ControlFlow::Break(Ok(()))
                }
                Err(error) => ControlFlow::Break(Err(error)),
            }
        };
        let looked = whole.states_only_of(&without, chain, announced, &mut rng, visit);
        let mut found = self.found();
        found.note(site, profile, seen, without.left_out);
        match looked {
            ControlFlow::Break(looked) => looked,
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// What a state breaks, if it does so twice, and if nothing is broken where nothing is lost.
    fn notice(&mut self, state: &State<'_>) -> io::Result<Option<Notice>> {
        if let Some(known) = self.verdicts.get(&state.hash) {
            let known = known.as_ref();
            return Ok(known.map(|violation| Notice::at(violation, state.point())));
        }
        self.tally.crash_states += 1;
        let mut broken = self.examine(state.disk, state.events)?;
        if let Some(violation) = &broken {
            let class = violation.class();
            let is_same = |again: &Violation| again.class() == class;
            if !self
                .examine(state.disk, state.events)?
                .is_some_and(|again| is_same(&again))
            {
                eprintln!(
                    "a state broke a promise once and not again, so it does not count: {violation}"
                );
                broken = None;
            } else if let Some(again) = self.examine(state.before, state.events)?
                && is_same(&again)
            {
                self.breaks(&again, "lost to a kill already");
                broken = None;
            }
        }
        self.verdicts.insert(state.hash, broken.clone());
        Ok(broken.map(|violation| Notice::at(&violation, state.point())))
    }

    fn examine(&mut self, disk: &Disk, events: &[Event]) -> io::Result<Option<Violation>> {
        self.bench.lay_out(disk)?;
        Ok(self.bench.recovered(events, &mut self.tally)?.err())
    }
}

impl Notice {
    fn at(violation: &Violation, crash_point: String) -> Self {
        Self {
            crash: CrashKind::Power,
            violation: violation.to_string(),
            crash_point,
        }
    }
}
