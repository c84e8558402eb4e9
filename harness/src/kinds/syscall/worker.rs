//! The rounds of one thread: traced runs, and all their states.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::generation::{Examined, Generated, Plan};
use super::keep::{Failure, keep};
use super::script::Script;
use super::states::{
    RECOVERY_STATES_MAX, SILENT_STATES_MAX, count, draw_traced, states_of, thin_out,
};
use super::story::Crash;
use crate::finding::{Finding, Found};
use crate::history::Event;
use crate::ignored::Ignored;
use crate::image::Image;
use crate::kinds::contract::Worker;
use crate::kinds::early::Early;
use crate::kinds::examine::recover_again;
use crate::kinds::sought::Sought;
use crate::kinds::story::{Broken, Past, PastLife};
use crate::loss::{Cuts, Death, KillPoint};
use crate::plan;
use crate::reached::Process;
use crate::recorder::{Recorder, Recording, Run, TraceRecorder, TraceRun, Traced};
use crate::store::{NextBase, Store, Work, prepared};
use crate::survivor::Survivor;
use crate::tally::{Tally, is_mid_work};
use crate::workload::stream;

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: usize = 6;

/// One directory's generations after another's, on one thread.
pub(super) struct Tracing<'a> {
    store: Box<dyn Store + 'a>,
    /// Where runs are traced.
    dir: PathBuf,
    /// Where states are laid out to be recovered.
    state_dir: PathBuf,
    rng: ChaCha8Rng,
    cuts: Cuts,
    ignored: Vec<Ignored>,
    early: Early,
    begun: bool,
    /// Where this directory's generations were killed.
    kills: Vec<KillPoint>,
    /// The generations before the last one, as a story has them.
    past: Past,
    /// What the next generation starts from.
    base: Image,
    sought: Sought,
    /// What was found besides the failure that ends it: the first of each class.
    found: Vec<Found>,
    /// What ended a round that had found something before.
    error: Option<io::Error>,
    /// Leave nothing to chance: every state is recovered twice, and under trace.
    thorough: bool,
}

impl Worker for Tracing<'_> {
    /// One generation, drawn from the seed: a traced run and all its states.
    fn round(&mut self, _: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        if !self.begun || self.store.generations() >= GENERATIONS {
            self.begin()?;
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let generated = match self.generation(&Plan::Drawn, tally) {
            Err(error) if !self.found.is_empty() => {
                self.begun = false;
                self.error = Some(error);
                return Ok(std::mem::take(&mut self.found));
            }
            generated => generated?,
        };
        let mut examined = match generated {
            Generated::Examined(examined) => examined,
            Generated::Failed(finding) => {
                self.begun = false;
                self.found.clear();
                return Ok(vec![Found::now(*finding, tally.crash_states)]);
            }
        };
        // The next generation starts from one of the states that a kill there leaves again.
        examined.retain(|examined| examined.state.kill.is_some());
        if examined.is_empty() {
            self.begun = false;
        } else {
            let next = examined.swap_remove(self.rng.random_range(0..examined.len()));
            if let Some(finding) = self.go_on(next, tally)? {
                return Ok(vec![Found::now(*finding, tally.crash_states)]);
            }
        }
        Ok(std::mem::take(&mut self.found))
    }
}

impl<'a> Tracing<'a> {
    /// `name` tells this worker's directories from those of others below `scratch`.
    pub(super) fn new(
        store: Box<dyn Store + 'a>,
        plan: &plan::Plan,
        scratch: &Path,
        name: &str,
        sought: Sought,
        rng: ChaCha8Rng,
    ) -> Self {
        Self {
            store,
            cuts: plan.cuts,
            ignored: plan.ignored.clone(),
            early: Early::of(plan),
            dir: scratch.join(format!("{name}-traced")),
            state_dir: scratch.join(format!("{name}-state")),
            rng,
            begun: false,
            kills: Vec::new(),
            past: Past::default(),
            base: Image::default(),
            sought,
            found: Vec::new(),
            error: None,
            thorough: false,
        }
    }

    /// A fresh directory.
    fn begin(&mut self) -> io::Result<()> {
        self.store.begin(&mut self.rng);
        self.kills.clear();
        self.past.clear();
        self.base = prepared(&mut *self.store, &self.dir)?;
        self.begun = true;
        Ok(())
    }

    /// Plays a script in a fresh directory: every generation but the last is killed where the
    /// script says; of the last, all states are examined.
    pub(super) fn play(
        &mut self,
        script: &Script,
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        self.begin()?;
        // The same cuts inside the same writes, however often the script is played.
        if let Some(last) = script.last() {
            self.rng = stream(last.workload.seed, 0);
        }
        for (index, generation) in script.iter().enumerate() {
            let is_last = index + 1 == script.len();
            self.thorough = is_last;
            let mut examined = match self.generation(&Plan::Scripted(generation), tally)? {
                Generated::Examined(examined) => examined,
                Generated::Failed(finding) => return Ok(Some(*finding)),
            };
            if is_last {
                break;
            }
            // There, or where the run came to its end before.
            let wanted = examined
                .iter()
                .position(|e| e.state.kill == Some(generation.kill));
            let last = examined.iter().rposition(|e| e.state.kill.is_some());
            let Some(killed) = wanted.or(last) else {
                // Every state breaks a promise, none of them the one that is looked for.
                return Ok(None);
            };
            let next = examined.swap_remove(killed);
            if let Some(finding) = self.go_on(next, tally)? {
                return Ok(Some(*finding));
            }
        }
        Ok(None)
    }

    /// The next generation starts from a state; from an empty directory if that breaks a promise now.
    fn go_on(&mut self, next: Examined, tally: &mut Tally) -> io::Result<Option<Box<Finding>>> {
        let Examined {
            state,
            run,
            moment,
            events,
            survivors,
        } = next;
        let image = state.image();
        let (survivors, base) = match self.store.next_base() {
            NextBase::CrashState => (survivors, image),
            NextBase::Recovered => match self.examine(&image, &events, tally)? {
                Ok(survivors) => (survivors, Image::read(&self.state_dir, &image)?),
                Err(broken) => {
                    self.begun = false;
                    let crash = Crash::in_run(&run, moment, &state);
                    return self.broken(&crash, events, broken, tally);
                }
            },
        };
        self.store.advance(&events, &survivors);
        let life = PastLife {
            events: &events,
            ended: format!("It is killed {}. What it wrote is there.", state.point),
            shown: survivors,
        };
        self.past.push(life, &|id| self.store.entry_name(id));
        *self.kills.last_mut().expect("it was just run") =
            state.kill.expect("only such states are left");
        self.base = base;
        Ok(None)
    }

    /// Runs a generation under trace and examines all its states, and those of a few recoveries.
    fn generation(&mut self, plan: &Plan<'_>, tally: &mut Tally) -> io::Result<Generated> {
        tally.count_engine(self.store.engine());
        let base = self.base.clone();
        let (work, kill) = match plan {
            Plan::Drawn => (Work::Traced, None),
            Plan::Scripted(generation) => {
                self.cuts = generation.cuts;
                (Work::Scripted(&generation.workload), Some(generation.kill))
            }
        };
        let recording = Rc::new(self.record(Run::Write(work), &base, kill, tally)?);
        self.kills.push(kill.unwrap_or(KillPoint {
            // One more than it made, if it was to go on to its end.
            calls: (recording.steps.len() + usize::from(recording.end.is_some())) as u64,
            inside: None,
        }));
        tally.count_round(&recording.events());
        let mut states = states_of(&recording, self.cuts, kill, &mut self.rng);
        let mut announced = states
            .iter()
            .map(|(moment, _)| recording.announced_at(*moment));
        if announced.any(|events| is_mid_work(&events)) {
            tally.killed_mid_work = tally.killed_mid_work.max(1);
        }
        if !self.thorough {
            let is_silent = |moment| recording.announced_at(moment).is_empty();
            thin_out(&mut states, SILENT_STATES_MAX, is_silent, &mut self.rng);
        }
        if let Some(violation) = recording.failed.clone() {
            let (moment, last) = states.last().expect("the first state is one");
            let crash = Crash::in_run(&recording, *moment, last);
            let broken = Broken::without_survivors(violation);
            if let Some(finding) = self.broken(&crash, recording.events(), broken, tally)? {
                return Ok(Generated::Failed(finding));
            }
            if !recording.is_understood() {
                // What it announced is not known, so no state can be judged.
                return Ok(Generated::Examined(Vec::new()));
            }
        }
        let mut seen = HashSet::new();
        let mut examined = Vec::new();
        for (moment, state) in states {
            let events = recording.announced_at(moment);
            if self.early.skips(self.kills.len() == 1, &events) {
                continue;
            }
            let image = state.image();
            if !seen.insert(Death::fingerprint(&image, &events)) {
                continue;
            }
            count(tally, Process::Writer, &recording, moment, &image);
            match self.examine(&image, &events, tally)? {
                Ok(survivors) => examined.push(Examined {
                    state,
                    run: Rc::clone(&recording),
                    moment,
                    events,
                    survivors,
                }),
                Err(broken) => {
                    let crash = Crash::in_run(&recording, moment, &state);
                    if let Some(finding) = self.broken(&crash, events, broken, tally)? {
                        return Ok(Generated::Failed(finding));
                    }
                }
            }
        }
        let traced = if self.thorough {
            (0..examined.len()).collect()
        } else {
            draw_traced(examined.len(), &mut self.rng)
        };
        for index in traced {
            if let Some(finding) = self.trace_recovery(&examined[index], &mut seen, tally)? {
                return Ok(Generated::Failed(finding));
            }
        }
        Ok(Generated::Examined(examined))
    }

    fn record(
        &mut self,
        run: Run<'_>,
        base: &Image,
        kill: Option<KillPoint>,
        tally: &mut Tally,
    ) -> io::Result<Traced> {
        let mut recorder = TraceRecorder {
            dir: &self.dir,
            ignored: &self.ignored,
        };
        let mut recording = recorder.record(TraceRun {
            store: &mut *self.store,
            base,
            run,
            calls_max: kill.map(|kill| kill.calls),
            injection: None,
            rng: &mut self.rng,
            tally,
        })?;
        let failed = recording.failed.take();
        recording.failed = failed.map(|violation| violation.without_dir(&self.dir));
        Ok(recording)
    }

    /// Recovers a state and asks the oracle.
    fn examine(
        &mut self,
        image: &Image,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Broken>> {
        tally.crash_states += 1;
        image.write(&self.state_dir)?;
        let close = self.rng.random_bool(0.1);
        let recovered = self.store.recover(&self.state_dir, close)?;
        let survivors = match recovered {
            Ok(survivors) => survivors,
            Err(violation) => {
                let violation = violation.without_dir(&self.state_dir);
                return Ok(Err(Broken::without_survivors(violation)));
            }
        };
        tally.recovered += Survivor::entries(&survivors).0.len() as u64;
        if let Err(violation) = self.store.check(events, &survivors) {
            return Ok(Err(Broken::of(violation, survivors)));
        }
        if self.thorough || self.rng.random_bool(0.05) {
            tally.second_recoveries += 1;
            let again = recover_again(&mut *self.store, &self.state_dir, &survivors)?;
            if let Err(violation) = again {
                let violation = violation.without_dir(&self.state_dir);
                return Ok(Err(Broken::of(violation, survivors)));
            }
        }
        Ok(Ok(survivors))
    }

    /// A crash in the middle of recovery: recovers a state under trace, and each state of that.
    fn trace_recovery(
        &mut self,
        examined: &Examined,
        seen: &mut HashSet<u64>,
        tally: &mut Tally,
    ) -> io::Result<Option<Box<Finding>>> {
        let Examined {
            state,
            run,
            moment,
            events,
            ..
        } = examined;
        let crash = Crash::in_run(run, *moment, state);
        let close = self.rng.random_bool(0.5);
        let recording = self.record(Run::Recover { close }, &state.image(), None, tally)?;
        tally.recoveries_traced += 1;
        if let Some(violation) = recording.failed.clone() {
            let broken = Broken::without_survivors(violation);
            return self.broken(&crash, events.clone(), broken, tally);
        }
        let mut states = states_of(&recording, self.cuts, None, &mut self.rng);
        if !self.thorough {
            thin_out(&mut states, RECOVERY_STATES_MAX, |_| true, &mut self.rng);
        }
        for (moment, inner) in states {
            // Nothing is announced during a recovery: what was known at the crash is known still.
            let image = inner.image();
            if !seen.insert(Death::fingerprint(&image, events)) {
                continue;
            }
            count(tally, Process::Recovery, &recording, moment, &image);
            if let Err(broken) = self.examine(&image, events, tally)? {
                let crash = crash.in_recovery(&recording, moment, &inner);
                if let Some(finding) = self.broken(&crash, events.clone(), broken, tally)? {
                    return Ok(Some(finding));
                }
            }
        }
        Ok(None)
    }

    /// Counts a broken promise. Returns it if it ends the search; else keeps the first of its class.
    fn broken(
        &mut self,
        crash: &Crash<'_>,
        events: Vec<Event>,
        broken: Broken,
        tally: &mut Tally,
    ) -> io::Result<Option<Box<Finding>>> {
        let violation = &broken.violation;
        tally.violated(violation);
        let class = violation.class();
        let ends = self.sought.ends_with(violation);
        let is_kept = || {
            let mut found = self.found.iter();
            found.any(|found| found.finding.violation.class() == class)
        };
        let keeps = matches!(self.sought, Sought::Each(_)) && !self.sought.passes_over(violation);
        if !ends && (!keeps || is_kept()) {
            return Ok(None);
        }
        let image = format!("{}-found-{}", self.state_dir.display(), self.found.len());
        let failure = Failure {
            crash,
            past: &self.past,
            events,
            broken,
            kills: &self.kills,
            cuts: self.cuts,
        };
        let finding = Box::new(keep(&*self.store, failure, Path::new(&image))?);
        if ends {
            return Ok(Some(finding));
        }
        self.found.push(Found::now(*finding, tally.crash_states));
        Ok(None)
    }
}
