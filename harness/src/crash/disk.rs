//! `disk`: a writer on a real file system, on a recorded block device; the crash states are images of
//! that device, mounted and recovered one after another.
//!
//! The device raises a clock before it answers the kernel, and every event of the history carries
//! what the clock said. So an acknowledgement that was announced at index *i* must survive every
//! crash at or after *i*, and no crash before the index of an attempt can show it.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::campaign::Plan;
use crate::checker::Checker;
use crate::child::{Role, Running, Target};
use crate::crash::CrashKind;
use crate::disk::{
    CrashState, Crashes, Disk, Examiner, FaultPlan, FileSystem, Image, Recording, Sampling, Site,
    is_mount_refused,
};
use crate::finding::Finding;
use crate::history::{Event, History};
use crate::oracle::{Oracle, Violation};
use crate::scratch::{copy_dir, remove_dir};
use crate::subject::{Subject, Survivor};
use crate::tally::Tally;
use crate::workload::Workload;

/// Generations on one device before a fresh one is begun.
const GENERATIONS: usize = 4;
const EVENTS_MAX: usize = 1 << 14;
/// States of one recording that are looked at, near flushes first.
const STATES_MAX: usize = 160;
/// Of these, how many are recovered while the device records, so that their recovery is crashed too.
const RECORDED_RECOVERIES: usize = 1;
/// States looked at of each such recovery.
const NESTED_MAX: usize = 24;
/// Requests told in a story, the last ones.
const REQUESTS_TOLD: usize = 40;
/// The store's directory in the file system.
const STORE: &str = "store";

/// One device's generations after another's, on one thread.
pub(crate) struct Lane<'a> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    file_system: FileSystem,
    scratch: &'a Path,
    /// Where a failure's directory is copied to.
    evidence: std::path::PathBuf,
    rng: ChaCha8Rng,
    /// Made in the first round, on the thread that uses it.
    bench: Option<Bench>,
    target: Target,
    checker: Checker,
    oracle: Box<dyn Oracle>,
    workloads: Vec<Workload>,
    /// What the next generation starts from.
    image: Image,
}

/// What mounts images.
struct Bench {
    site: Site,
    examiner: Examiner,
    /// A fresh file system with an empty store.
    fresh: Image,
}

/// What was recorded of one generation, and what it was told meanwhile.
struct Run<'r> {
    recording: &'r Recording,
    history: &'r History,
}

/// A broken promise, and the state that shows it.
struct Broken {
    state: CrashState,
    image: Image,
    events: Vec<Event>,
    violation: Violation,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(
        subject: &'a dyn Subject,
        plan: &'a Plan,
        file_system: FileSystem,
        scratch: &'a Path,
        name: &str,
        rng: ChaCha8Rng,
    ) -> Self {
        let target = Target {
            launcher: plan.launcher.clone(),
            subject: subject.name().to_owned(),
            engine: String::new(),
            dir: scratch.to_owned(),
            hang_limit: plan.hang_limit,
        };
        Self {
            subject,
            plan,
            image: Image::zeros(file_system.bytes),
            file_system,
            scratch,
            evidence: scratch.join(format!("{name}-evidence")),
            rng,
            bench: None,
            checker: Checker::new(target.clone()),
            target,
            oracle: subject.oracle(),
            workloads: Vec::new(),
        }
    }

    /// One generation: a recorded run and its crash states.
    pub(crate) fn round(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        let mut bench = match self.bench.take() {
            Some(bench) => bench,
            None => Bench::new(self.scratch, &self.file_system)?,
        };
        if self.workloads.is_empty() || self.workloads.len() >= GENERATIONS {
            self.begin(&bench);
        }
        let found = self.generation(&mut bench, tally);
        self.bench = Some(bench);
        found
    }

    /// A fresh device.
    fn begin(&mut self, bench: &Bench) {
        let engines = self.plan.engines_of(self.subject);
        let engine = engines[self.rng.random_range(0..engines.len())];
        engine.clone_into(&mut self.target.engine);
        self.checker = Checker::new(self.target.clone());
        self.oracle = self.subject.oracle();
        self.workloads.clear();
        self.image = bench.fresh.clone();
    }

    fn generation(&mut self, bench: &mut Bench, tally: &mut Tally) -> io::Result<Option<Finding>> {
        *tally.engines.entry(self.target.engine.clone()).or_default() += 1;
        let generation = u32::try_from(self.workloads.len()).expect("a few generations");
        let workload = Workload {
            actions_max: Some(self.rng.random_range(4..24)),
            ..Workload::draw_small(&mut self.rng, generation)
        };
        self.workloads.push(workload.clone());
        let history = History::create(EVENTS_MAX)?;
        let disk = Disk::new(&bench.site, self.image.clone(), Arc::new(history.clone()))?;
        let is_faulty = self.rng.random_bool(0.2);
        if is_faulty {
            disk.plan_faults(self.draw_fault());
        }
        let writer = |dir: &Path| write(&self.target, dir, &history, &workload);
        let (ended, recording) = disk.record(&self.file_system, writer)?;
        tally.count_round(&history.events());
        tally.faults += disk.faults();
        let failed = ended?;
        let run = Run {
            recording: &recording,
            history: &history,
        };
        if let Some(detail) = failed.filter(|_| disk.faults() == 0) {
            let violation = Violation::Broken {
                stage: "the writer failed".into(),
                detail,
            };
            return self.writer_failed(bench, &run, violation, tally).map(Some);
        }
        drop(disk);
        let sampling = Sampling::seeded(self.rng.next_u64()).on(&self.file_system);
        let crashes = Crashes::new(&recording, &sampling);
        tally.calls += recording.entries.len() as u64;
        let states = crashes.states();
        let wanted = states.len().min(STATES_MAX);
        for state in &states[..wanted] {
            let began = Instant::now();
            let image = crashes
                .image(&state.outcome)
                .expect("it is of this recording");
            tally.spend("build", began.elapsed());
            let known = |index| history.events_at_clock(index);
            if let Some(broken) = self.examine(bench, state, &image, &known, tally)? {
                return self.finding(bench, &run, broken, tally).map(Some);
            }
        }
        for _ in 0..RECORDED_RECOVERIES {
            let state = &states[self.rng.random_range(0..states.len())];
            let image = crashes
                .image(&state.outcome)
                .expect("it is of this recording");
            if let Some(broken) = self.crash_recovery(bench, &run, state, &image, tally)? {
                return self.finding(bench, &run, broken, tally).map(Some);
            }
        }
        // The next generation goes on behind one of them, recovered.
        let state = &states[self.rng.random_range(0..states.len())];
        let image = crashes
            .image(&state.outcome)
            .expect("it is of this recording");
        tally.killed_mid_work += u64::from(state.index() < recording.end);
        self.go_on(bench, &run, state, &image)?;
        Ok(None)
    }

    /// One request of the device fails; half of the time everything after it, too.
    fn draw_fault(&mut self) -> FaultPlan {
        let number = self.rng.random_range(0..30);
        let plan = if self.rng.random_bool(0.5) {
            FaultPlan::default().fail_flush(number)
        } else {
            FaultPlan::default().fail_write(number)
        };
        if self.rng.random_bool(0.5) {
            plan.for_good()
        } else {
            plan
        }
    }

    /// Mounts a state, recovers it, and asks the oracle about every moment at which it can come about:
    /// `known` is what had been announced at one.
    fn examine(
        &mut self,
        bench: &mut Bench,
        state: &CrashState,
        image: &Image,
        known: &dyn Fn(u64) -> Vec<Event>,
        tally: &mut Tally,
    ) -> io::Result<Option<Broken>> {
        let before = bench.examiner.spent();
        let shown = self.recover(bench, image)?;
        let after = bench.examiner.spent();
        tally.spend("load", after.load.saturating_sub(before.load));
        tally.spend("mount", after.mount.saturating_sub(before.mount));
        tally.spend("recover", after.look.saturating_sub(before.look));
        tally.spend("unmount", after.unmount.saturating_sub(before.unmount));
        let Some(shown) = shown else {
            tally.unmountable += 1;
            return Ok(None);
        };
        tally.crash_states += 1;
        let began = Instant::now();
        let broken = |violation, events| {
            Some(Broken {
                state: state.clone(),
                image: image.clone(),
                events,
                violation,
            })
        };
        let survivors = match shown {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(broken(violation, known(state.index()))),
        };
        tally.recovered += survivors.len() as u64;
        for range in &state.indices {
            let events = known(*range.end());
            if let Err(violation) = self.oracle.check(&events, &survivors) {
                return Ok(broken(violation, events));
            }
        }
        tally.spend("check", began.elapsed());
        Ok(None)
    }

    /// Recovers the store on an image. `None` if the kernel does not mount it.
    fn recover(
        &mut self,
        bench: &mut Bench,
        image: &Image,
    ) -> io::Result<Option<Result<Vec<Survivor>, Violation>>> {
        let (checker, workloads) = (&mut self.checker, &self.workloads);
        let looked = bench.examiner.with_mounted(image, |dir| {
            let recovered = checker.recover(&dir.join(STORE), workloads, false)?;
            io::Result::Ok(recovered.map_err(|detail| recovery_failed(detail, dir)))
        });
        match looked {
            Ok(recovered) => recovered.map(Some),
            Err(error) if is_mount_refused(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Recovers a state while the device records: crashes in the replay of the journal and in recovery.
    fn crash_recovery(
        &mut self,
        bench: &mut Bench,
        run: &Run<'_>,
        state: &CrashState,
        image: &Image,
        tally: &mut Tally,
    ) -> io::Result<Option<Broken>> {
        let (checker, workloads) = (&mut self.checker, &self.workloads);
        let looked = bench.examiner.with_mounted_recorded(image, |dir| {
            checker.recover(&dir.join(STORE), workloads, false)
        });
        let recording = match looked {
            Ok((recovered, recording)) => {
                // What it says was examined before.
                recovered?.ok();
                recording
            }
            Err(error) if is_mount_refused(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        tally.recoveries_crashed += 1;
        let sampling = Sampling::seeded(self.rng.next_u64()).on(&self.file_system);
        let crashes = Crashes::new(&recording, &sampling);
        // Nothing is announced during a recovery: what was known at the crash is known still.
        let known = |_| run.history.events_at_clock(state.index());
        let states = crashes.states();
        for nested in &states[..states.len().min(NESTED_MAX)] {
            let image = crashes
                .image(&nested.outcome)
                .expect("it is of this recording");
            if let Some(broken) = self.examine(bench, nested, &image, &known, tally)? {
                return Ok(Some(Broken {
                    state: state.clone(),
                    ..broken
                }));
            }
        }
        Ok(None)
    }

    /// Recovers a state for good: what it shows may never be lost.
    fn go_on(
        &mut self,
        bench: &mut Bench,
        run: &Run<'_>,
        state: &CrashState,
        image: &Image,
    ) -> io::Result<()> {
        let close = self.rng.random_bool(0.2);
        let (checker, workloads) = (&mut self.checker, &self.workloads);
        let looked = bench.examiner.with_mounted_recorded(image, |dir| {
            checker.recover(&dir.join(STORE), workloads, close)
        });
        match looked {
            Ok((recovered, recording)) => {
                let Ok(survivors) = recovered? else {
                    // It was examined before; with `close` it may be another matter, and then the
                    // next writer says so.
                    self.workloads.clear();
                    return Ok(());
                };
                let events = run.history.events_at_clock(state.index());
                self.oracle.advance(&events, &survivors);
                self.image = recording.image_at(recording.end);
            }
            Err(error) if is_mount_refused(&error) => self.workloads.clear(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn writer_failed(
        &mut self,
        bench: &mut Bench,
        run: &Run<'_>,
        violation: Violation,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        let crashes = Crashes::at(run.recording, run.recording.end, &Sampling::prefixes());
        let state = crashes.states()[0].clone();
        let broken = Broken {
            image: run.recording.image_at(run.recording.end),
            events: run.history.events(),
            state,
            violation,
        };
        self.finding(bench, run, broken, tally)
    }

    fn finding(
        &mut self,
        bench: &mut Bench,
        run: &Run<'_>,
        broken: Broken,
        tally: &mut Tally,
    ) -> io::Result<Finding> {
        tally.violations += 1;
        remove_dir(&self.evidence)?;
        let copied = bench.examiner.with_mounted(&broken.image, |dir| {
            copy_dir(&dir.join(STORE), &self.evidence)
        });
        match copied {
            Ok(copied) => copied?,
            Err(error) if is_mount_refused(&error) => fs::create_dir_all(&self.evidence)?,
            Err(error) => return Err(error),
        }
        let finding = Finding {
            version: env!("CARGO_PKG_VERSION").into(),
            subject: self.target.subject.clone(),
            engine: self.target.engine.clone(),
            crash: CrashKind::Disk,
            seed: self.plan.seed,
            crash_point: format!(
                "power loss on {}, after request {} of the device",
                self.file_system.kind.name(),
                broken.state.index()
            ),
            violation: broken.violation.clone(),
            oracle: self.oracle.save(),
            workloads: self.workloads.clone(),
            script: Vec::new(),
            tale: Some(tell(run, &broken)),
            events: broken.events,
            image: self.evidence.clone(),
            timeline: None,
            black_box: None,
        };
        self.workloads.clear();
        Ok(finding)
    }
}

impl Bench {
    fn new(scratch: &Path, file_system: &FileSystem) -> io::Result<Self> {
        let site = Site::enter(scratch)?;
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock)?;
        disk.format(file_system)?;
        let mounted = disk.mount(file_system)?;
        fs::create_dir(mounted.path().join(STORE))?;
        mounted.unmount()?;
        Ok(Self {
            examiner: Examiner::new(&site, file_system)?,
            fresh: disk.image(),
            site,
        })
    }
}

/// Lets a writer do all its work. Returns what it said if it failed.
fn write(
    target: &Target,
    mounted: &Path,
    history: &History,
    workload: &Workload,
) -> io::Result<Option<String>> {
    let target = Target {
        dir: mounted.join(STORE),
        ..target.clone()
    };
    let role = Role::WriteToTheEnd {
        history: history.path().into(),
        workload: workload.clone(),
    };
    let mut writer = Running::start(&target, role)?;
    Ok(match writer.wait()? {
        Some(ended) if ended.is_success() => None,
        Some(_) => Some(
            writer
                .output()
                .replace(&format!("{}/", mounted.display()), ""),
        ),
        None => Some(format!("it hangs: no end after {:?}", target.hang_limit)),
    })
}

fn recovery_failed(detail: String, dir: &Path) -> Violation {
    let broken = Violation::Broken {
        stage: "recovery failed".into(),
        detail,
    };
    broken.without_dir(dir)
}

/// The requests before the cut, what was announced between them, and which of them did not reach the
/// medium.
fn tell(run: &Run<'_>, broken: &Broken) -> String {
    let mut tale = String::new();
    let Recording { entries, .. } = run.recording;
    let cut = broken.state.index();
    let outcome = &broken.state.outcome;
    let done = entries
        .iter()
        .take_while(|entry| entry.answered <= cut)
        .count();
    let first = done.saturating_sub(REQUESTS_TOLD);
    let mut line = |text: String| writeln!(tale, "{text}").expect("a string takes everything");
    line("What the device was asked, and what was announced meanwhile:\n".into());
    let mut known = run
        .history
        .events_at_clock(entries.get(first).map_or(0, |entry| entry.answered))
        .len();
    for (number, entry) in entries.iter().enumerate().take(done).skip(first) {
        let kept = outcome.kept.iter().find(|kept| kept.entry == number);
        let is_lost = kept.is_none() && number >= outcome.before && entry.answered > outcome.epoch;
        let fate = match kept {
            _ if entry.request.is_flush() => "",
            Some(kept) if kept.sectors.is_some() => "   <- torn in the cut",
            _ if is_lost => "   <- not flushed, lost in the cut",
            _ => "",
        };
        let failed = if entry.failed { ", failed" } else { "" };
        let what = match entry.request.range() {
            None => "flush".to_owned(),
            Some((offset, bytes)) => format!("write {bytes} bytes at {offset}"),
        };
        line(format!("    {:>5}  {what}{failed}{fate}", entry.answered));
        let events = run.history.events_at_clock(entry.answered);
        for event in events.get(known..).unwrap_or_default() {
            if let Event::Ack { id, position } = event {
                line(format!(
                    "           acknowledged: entry {id:#x} at position {position}"
                ));
            }
        }
        known = events.len();
    }
    line(format!("\nThe power is lost after request {cut}.\n"));
    tale
}

impl Tally {
    fn spend(&mut self, what: &str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        *self.spent_us.entry(what.to_owned()).or_default() += micros;
    }
}
