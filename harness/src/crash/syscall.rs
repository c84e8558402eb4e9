//! `syscall`: one run under trace, stopped at every system call that touches the store's directory;
//! a copy of the directory there is what a SIGKILL there leaves.
//!
//! One run yields the crash states before and after *every* call, without running the writer again.
//! States inside a write are made from the two around it: the old bytes with a prefix of the new
//! ones, cut at page boundaries, where real kills cut, and at a few offsets drawn from the seed.
//! Recovery is a run like any other: it is traced, and each of its states recovered.
//!
//! A sample of real kills keeps this honest: each run ends with one, and the directory it leaves
//! must equal the copy.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::recording::{Recording, State, Traced};
use crate::checker::Checker;
use crate::child::{Role, Target};
use crate::crash::{CrashKind, Found, Sought};
use crate::finding::{Finding, Generation, KillPoint};
use crate::history::{Event, History};
use crate::image::Image;
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::scratch::remove_dir;
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;
use crate::workload::{Workload, stream};

/// Generations on one directory before a fresh one is begun.
const GENERATIONS: usize = 6;
const EVENTS_MAX: usize = 1 << 14;
/// How many of a run's states are recovered under trace.
const TRACED_RECOVERIES: usize = 2;

/// One directory's generations after another's, on one thread.
pub(crate) struct Lane<'a> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    target: Target,
    /// Where states are laid out to be recovered.
    state_dir: PathBuf,
    checker: Checker,
    rng: ChaCha8Rng,
    oracle: Box<dyn Oracle>,
    /// This directory's generations so far, and where each was killed.
    script: Vec<Generation>,
    /// What the next generation starts from.
    base: Image,
    sought: Sought,
    /// What was found beside the failure that ends it: of each class the first.
    found: Vec<Found>,
    /// Leave nothing to chance: every state is recovered twice, and under trace.
    thorough: bool,
}

/// A state that was recovered, and what it showed.
struct Examined {
    state: State,
    events: Vec<Event>,
    survivors: Vec<Survivor>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(
        subject: &'a dyn Subject,
        plan: &'a Plan,
        scratch: &Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        let target = Target {
            launcher: plan.launcher.clone(),
            subject: subject.name().to_owned(),
            engine: String::new(),
            dir: scratch.join(format!("{name}-traced")),
            hang_limit: plan.hang_limit,
        };
        Self {
            subject,
            plan,
            state_dir: scratch.join(format!("{name}-state")),
            checker: Checker::new(target.clone()),
            target,
            rng,
            oracle: subject.oracle(),
            script: Vec::new(),
            base: Image::default(),
            sought: Sought::by(plan, subject),
            found: Vec::new(),
            thorough: false,
        }
    }

    /// From now on, only failures of this class.
    pub(crate) fn seek(&mut self, class: String) {
        self.sought = Sought::Class(class);
    }

    /// One generation, drawn from the seed: a traced run and all its states.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Vec<Found>> {
        if self.script.is_empty() || self.script.len() >= GENERATIONS {
            let engines = self.plan.engines_of(self.subject);
            let engine = engines[self.rng.random_range(0..engines.len())];
            self.begin(engine);
        }
        let number = u32::try_from(self.script.len()).expect("a few generations");
        let workload = Workload::draw_small(&mut self.rng, number);
        let kill = KillPoint {
            calls: self.rng.random_range(60..200),
            inside: None,
        };
        let mut examined = match self.generation(Generation { workload, kill }, tally)? {
            Ok(examined) => examined,
            Err(finding) => {
                self.script.clear();
                let (states, at) = (tally.crash_states, Instant::now());
                let finding = *finding;
                return Ok(vec![Found {
                    finding,
                    states,
                    at,
                }]);
            }
        };
        // The next generation goes on from one of the states that a kill there leaves again.
        examined.retain(|examined| examined.state.kill.is_some());
        let found = std::mem::take(&mut self.found);
        if examined.is_empty() {
            self.script.clear();
            return Ok(found);
        }
        let Examined {
            state,
            events,
            survivors,
        } = examined.swap_remove(self.rng.random_range(0..examined.len()));
        self.oracle.advance(&events, &survivors);
        let last = self.script.last_mut().expect("it was just run");
        last.kill = state.kill.expect("only such states are left");
        self.base = state.image;
        Ok(found)
    }

    /// Plays a script in a fresh directory: every generation but the last is killed where the
    /// script says; of the last, all states are examined.
    pub(crate) fn play(
        &mut self,
        engine: &str,
        script: &[Generation],
        tally: &mut Tally,
    ) -> io::Result<Option<Finding>> {
        self.begin(engine);
        // The same cuts inside the same writes, whoever plays the script.
        if let Some(last) = script.last() {
            self.rng = stream(last.workload.seed, 0);
        }
        for (index, generation) in script.iter().enumerate() {
            let is_last = index + 1 == script.len();
            self.thorough = is_last;
            let mut examined = match self.generation(generation.clone(), tally)? {
                Ok(examined) => examined,
                Err(finding) => return Ok(Some(*finding)),
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
            let Examined {
                state,
                events,
                survivors,
            } = examined.swap_remove(killed);
            self.oracle.advance(&events, &survivors);
            self.base = state.image;
        }
        Ok(None)
    }

    /// A fresh directory.
    fn begin(&mut self, engine: &str) {
        engine.clone_into(&mut self.target.engine);
        self.checker = Checker::new(self.target.clone());
        self.oracle = self.subject.oracle();
        self.script.clear();
        self.base = Image::default();
    }

    /// Runs a generation under trace and examines all its states, and those of a few recoveries.
    /// Returns the states of the run itself, in order, each different one once.
    fn generation(
        &mut self,
        generation: Generation,
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Examined>, Box<Finding>>> {
        *tally.engines.entry(self.target.engine.clone()).or_default() += 1;
        self.script.push(generation.clone());
        let Generation { workload, kill } = generation;
        let history = History::create(EVENTS_MAX)?;
        let role = Role::Write {
            history: history.path().into(),
            workload,
        };
        let recording = self.record(role, &self.base.clone(), Some(&history), kill, tally)?;
        tally.count_round(&history.events());
        if let Some(detail) = recording.stopped {
            let violation = Violation::Broken {
                stage: "the writer failed".into(),
                detail,
            };
            let last = recording.states.last().expect("the first state is one");
            let events = history.events_at(&last.mark);
            if let Some(finding) = self.broken(last, events, violation, tally)? {
                return Ok(Err(finding));
            }
        }
        let mut seen = HashSet::new();
        let mut examined = Vec::new();
        for state in recording.states {
            let events = history.events_at(&state.mark);
            if !seen.insert(state.fingerprint(&events)) {
                continue;
            }
            match self.examine(&state.image, &events, tally)? {
                Ok(survivors) => examined.push(Examined {
                    state,
                    events,
                    survivors,
                }),
                Err(violation) => {
                    if let Some(finding) = self.broken(&state, events, violation, tally)? {
                        return Ok(Err(finding));
                    }
                }
            }
        }
        let traced: Vec<usize> = if examined.is_empty() {
            Vec::new()
        } else if self.thorough {
            (0..examined.len()).collect()
        } else {
            (0..TRACED_RECOVERIES)
                .map(|_| self.rng.random_range(0..examined.len()))
                .collect()
        };
        for index in traced {
            let Examined { state, events, .. } = &examined[index];
            if let Some(finding) = self.trace_recovery(state, events, &mut seen, tally)? {
                return Ok(Err(finding));
            }
        }
        Ok(Ok(examined))
    }

    fn record(
        &mut self,
        role: Role,
        base: &Image,
        history: Option<&History>,
        kill: KillPoint,
        tally: &mut Tally,
    ) -> io::Result<Recording> {
        let ring_waits = self.subject.has_one_request_in_flight(&self.target.engine);
        Recording::make(
            Traced {
                target: &self.target,
                ring_waits,
            },
            role,
            base,
            history,
            kill,
            &mut self.rng,
            tally,
        )
    }

    /// Recovers a state and asks the oracle.
    fn examine(
        &mut self,
        image: &Image,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        tally.crash_states += 1;
        image.write(&self.state_dir)?;
        let close = self.rng.random_bool(0.1);
        let workloads = self.workloads();
        let survivors = match self.checker.recover(&self.state_dir, &workloads, close)? {
            Ok(survivors) => survivors,
            Err(detail) => {
                return Ok(Err(Violation::Broken {
                    stage: "recovery failed".into(),
                    detail,
                }));
            }
        };
        tally.recovered += survivors.len() as u64;
        if let Err(violation) = self.oracle.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.thorough || self.rng.random_bool(0.05) {
            tally.second_recoveries += 1;
            match self.checker.recover(&self.state_dir, &workloads, false)? {
                Ok(again) if again == survivors => {}
                Ok(again) => {
                    let (first, second) = (survivors.len(), again.len());
                    let detail = format!("{first} entries first, {second} the second time");
                    return Ok(Err(Violation::NotIdempotent { detail }));
                }
                Err(detail) => {
                    let stage = "the second recovery failed".into();
                    return Ok(Err(Violation::Broken { stage, detail }));
                }
            }
        }
        Ok(Ok(survivors))
    }

    /// A crash in the middle of recovery: recovers a state under trace, and each state of that.
    fn trace_recovery(
        &mut self,
        state: &State,
        events: &[Event],
        seen: &mut HashSet<u64>,
        tally: &mut Tally,
    ) -> io::Result<Option<Box<Finding>>> {
        let role = Role::Recover {
            output: "/dev/null".into(),
            workloads: self.workloads(),
            close: self.rng.random_bool(0.5),
        };
        let to_its_end = KillPoint {
            calls: u64::MAX,
            inside: None,
        };
        let recording = self.record(role, &state.image, None, to_its_end, tally)?;
        tally.recoveries_traced += 1;
        if let Some(detail) = recording.stopped {
            let violation = Violation::Broken {
                stage: "recovery failed".into(),
                detail,
            };
            return self.broken(state, events.to_vec(), violation, tally);
        }
        for inner in recording.states {
            let inner = State {
                mark: state.mark.clone(),
                point: format!("{}, then in recovery {}", state.point, inner.point),
                ..inner
            };
            if !seen.insert(inner.fingerprint(events)) {
                continue;
            }
            if let Err(violation) = self.examine(&inner.image, events, tally)?
                && let Some(finding) = self.broken(&inner, events.to_vec(), violation, tally)?
            {
                return Ok(Some(finding));
            }
        }
        Ok(None)
    }

    fn workloads(&self) -> Vec<Workload> {
        self.script
            .iter()
            .map(|generation| generation.workload.clone())
            .collect()
    }

    /// Counts a broken promise. Returns it if it ends the search; else keeps the first of its class.
    fn broken(
        &mut self,
        state: &State,
        events: Vec<Event>,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Option<Box<Finding>>> {
        tally.violated(&violation);
        let class = violation.class();
        let ends = self.sought.ends_with(&violation);
        let is_known = || {
            self.found
                .iter()
                .any(|f| f.finding.violation.class() == class)
        };
        if !ends && (self.sought != Sought::Each || is_known()) {
            return Ok(None);
        }
        let name = format!("{}-found-{}", self.state_dir.display(), self.found.len());
        let finding = self.finding(state, events, violation, name.into())?;
        if ends {
            return Ok(Some(Box::new(finding)));
        }
        self.found.push(Found {
            finding,
            states: tally.crash_states,
            at: Instant::now(),
        });
        Ok(None)
    }

    fn finding(
        &self,
        state: &State,
        events: Vec<Event>,
        violation: Violation,
        image: PathBuf,
    ) -> io::Result<Finding> {
        remove_dir(&image)?;
        fs::create_dir_all(&image)?;
        state.image.write(&image)?;
        Ok(Finding {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject: self.target.subject.clone(),
            engine: self.target.engine.clone(),
            crash: CrashKind::Syscall,
            seed: self.plan.seed,
            crash_point: state.point.clone(),
            violation: violation
                .without_dir(&self.state_dir)
                .without_dir(&self.target.dir),
            oracle: self.oracle.save(),
            workloads: self.workloads(),
            script: self.script.clone(),
            events,
            image,
            timeline: None,
            disk: None,
            tale: None,
            black_box: None,
        })
    }
}
