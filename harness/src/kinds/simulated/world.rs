//! A store between two lives, and everything that is known of it.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::prepared::Prepared;
use super::timeline::{End, Life, Step, Timeline};
use super::watch::Watch;
use crate::history::{Event, History, Recorder as Hand};
use crate::kinds::early::Early;
use crate::oracle::{self, Oracle, Stage, Violation};
use crate::reached::NextCall;
use crate::recorder::{self, Disks, Recorder, Recording as _};
use crate::sim::{Disk, Fault, Recording, Replayed, Role, SimFs, SyncFilter};
use crate::stop::Stop;
use crate::store::unfit;
use crate::subject::{SimPrepareRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError};
use crate::survivor::{Survivor, Survivors};
use crate::workload::Workload;

/// The store's directory on the simulated file system.
pub(crate) const STORE: &str = "/store";
/// More than a workload of these sizes announces.
const EVENTS_MAX: usize = 1 << 14;

/// What is under test, and on what.
#[derive(Clone)]
pub(crate) struct Bench<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) store: &'a dyn Simulated,
    /// Looks after it.
    pub(crate) watch: Arc<Watch>,
    /// Syncs that are left out.
    pub(crate) filter: Option<Arc<dyn SyncFilter>>,
    /// Ends a search at the next life.
    pub(crate) stop: Stop,
    /// Moments that are passed over.
    pub(crate) early: Early,
    /// The store that is there in the beginning.
    pub(crate) prepared: Prepared,
}

/// A store between two lives.
pub(crate) struct World<'a> {
    pub(crate) bench: Bench<'a>,
    /// How it came to this.
    pub(crate) timeline: Timeline,
    pub(crate) disk: Disk,
    pub(crate) oracle: Box<dyn Oracle>,
    /// What has been announced since a recovery last came to its end.
    pub(crate) events: Vec<Event>,
    pub(crate) workloads: Vec<Workload>,
}

/// One life, as it went.
pub(crate) struct Lived {
    pub(crate) recording: Recording,
    /// What it showed, if it was a recovery; or its last words.
    pub(crate) result: Result<Vec<Survivor>, LastWords>,
    /// Errors injected.
    pub(crate) faults: u32,
    /// The first gap that is looked at: the one before the first error of the disk, or the first of all.
    pub(crate) interesting_from: usize,
}

impl Lived {
    /// Whether all of it is passed over.
    pub(crate) fn is_too_early(&self) -> bool {
        self.interesting_from >= self.recording.gaps.len()
    }
}

/// Why a store stopped.
#[derive(Clone, Debug)]
pub(crate) enum LastWords {
    /// It returned an error.
    Error(String),
    /// It panicked, which nothing on a disk may bring it to.
    Panic(String),
    /// It did not end within this number of operations; nor may anything bring it to that.
    Endless(u64),
}

impl Disks for Lived {
    fn disk_at(&self, moment: usize) -> Cow<'_, Disk> {
        Cow::Borrowed(&self.recording.gaps[moment].disk)
    }

    fn is_before_sync(&self, moment: usize) -> bool {
        self.recording.is_sync(moment)
    }
}

impl recorder::Recording for Lived {
    fn moments(&self) -> usize {
        self.recording.gaps.len()
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        self.recording.events_at(moment)
    }

    fn next_call(&self, moment: usize) -> Option<NextCall> {
        let operation = self.recording.operations.get(moment)?;
        let disk = &self.recording.gaps[moment].disk;
        let of_file = |ino| disk.path_of(ino);
        let path = operation
            .path
            .clone()
            .or_else(|| operation.ino.and_then(of_file));
        // What lies outside of the store is the directory that it was made in.
        let in_store = |path: String| match path.strip_prefix(STORE) {
            Some(below) => below.trim_start_matches('/').to_owned(),
            None => "..".to_owned(),
        };
        Some(NextCall {
            name: operation.call.name(),
            path: path.map(in_store),
            is_sync: operation.call.is_sync(),
        })
    }
}

/// The recorder `seam`: a process lives in this one, on the simulated file system.
impl Recorder for &World<'_> {
    type Run<'r> = (&'r Life, &'r [Fault]);
    type Recording = Lived;

    fn record(&mut self, (life, faults): (&Life, &[Fault])) -> io::Result<Lived> {
        self.live(life, faults)
    }
}

impl<'a> World<'a> {
    /// Where nothing has happened yet. `timeline` has no steps.
    ///
    /// # Errors
    /// If the store cannot be prepared, or is not fit to be tortured then.
    pub(crate) fn new(bench: Bench<'a>, timeline: Timeline) -> io::Result<Self> {
        let mut world = Self {
            disk: bench.prepared.disk(timeline.profile)?,
            oracle: bench.subject.oracle(),
            events: Vec::new(),
            workloads: Vec::new(),
            bench,
            timeline,
        };
        if world.prepare()? {
            let shown = world.examine(world.disk.clone(), &[], &[]);
            shown.map_err(|violation| unfit(&violation))?;
        }
        Ok(world)
    }

    /// Lets the store be prepared, unless it is there. Returns whether it was, or is.
    fn prepare(&mut self) -> io::Result<bool> {
        if !self.bench.prepared.is_none() {
            return Ok(true);
        }
        let fs = self.fs(self.disk.clone(), Role::Writer);
        fs.record(None);
        let run = SimPrepareRun {
            fs: &fs,
            dir: Path::new(STORE),
            engine: &self.timeline.engine,
        };
        let prepare = || self.bench.store.prepare(&run);
        let result = self.bench.watch.call(|| guarded(prepare));
        let failed = |words: LastWords| {
            io::Error::other(format!("the store cannot be prepared: {}", words.told()))
        };
        ended(&fs, result).map_err(failed)?;
        let mut gaps = fs.recorded().gaps;
        if gaps.len() == 1 {
            return Ok(false);
        }
        self.disk = gaps.pop().expect("there is one more than operations").disk;
        self.disk.settle();
        Ok(true)
    }

    /// How many generations have written.
    pub(crate) fn generations(&self) -> u32 {
        u32::try_from(self.workloads.len()).expect("a few generations")
    }

    fn fs(&self, disk: Disk, role: Role) -> SimFs {
        let fs = SimFs::from_disk(disk, self.timeline.seed);
        if let Some(filter) = &self.bench.filter {
            fs.filter_syncs(Arc::clone(filter), role);
        }
        fs
    }

    /// Lets a process live to its end, and records what it does.
    ///
    /// # Errors
    /// If the machine fails, or the end was asked for.
    pub(crate) fn live(&self, life: &Life, faults: &[Fault]) -> io::Result<Lived> {
        self.bench.stop.check()?;
        let role = match life {
            Life::Write(_) => Role::Writer,
            Life::Recover { .. } => Role::Recovery,
        };
        let fs = self.fs(self.disk.clone(), role);
        fs.plan_faults(faults);
        let mut doing = self.timeline.clone();
        doing.steps.push(Step {
            life: life.clone(),
            faults: faults.to_vec(),
            until: None,
            end: End::Kill,
        });
        self.bench.watch.note(doing);
        let result = match life {
            Life::Write(workload) => {
                let history = History::create(EVENTS_MAX)?;
                fs.record(Some(history.clone()));
                let recorder = Hand::in_process(history);
                let run = SimWriteRun {
                    fs: &fs,
                    dir: Path::new(STORE),
                    engine: &self.timeline.engine,
                    workload,
                    recorder: &recorder,
                };
                let write = || self.bench.store.write(&run);
                let result = self.bench.watch.call(|| guarded(write));
                ended(&fs, result).map(|()| Vec::new())
            }
            Life::Recover { close } => {
                fs.record(None);
                self.recover(&fs, *close, &self.workloads)
            }
        };
        let recording = fs.recorded();
        let gaps = recording.first_injected().unwrap_or(0)..recording.gaps.len();
        let is_first = self.timeline.steps.is_empty();
        let events_at = |gap| recording.events_at(gap);
        let interesting_from = self.bench.early.first(is_first, gaps, events_at);
        Ok(Lived {
            result,
            recording,
            faults: fs.faults_injected(),
            interesting_from,
        })
    }

    fn recover(
        &self,
        fs: &SimFs,
        close: bool,
        workloads: &[Workload],
    ) -> Result<Vec<Survivor>, LastWords> {
        let mut survivors = Survivors::new(workloads);
        let run = SimRecoverRun {
            fs,
            dir: Path::new(STORE),
            engine: &self.timeline.engine,
            close,
        };
        let recover = || self.bench.store.recover(&run, &mut survivors);
        let result = self.bench.watch.call(|| guarded(recover));
        ended(fs, result)?;
        Ok(survivors.entries)
    }

    /// The workloads whose entries may be there during a life.
    pub(crate) fn workloads_during(&self, life: &Life) -> Vec<Workload> {
        let mut workloads = self.workloads.clone();
        if let Life::Write(workload) = life {
            workloads.push(workload.clone());
        }
        workloads
    }

    /// Recovers what is left on a disk that fails so.
    pub(crate) fn show(
        &self,
        disk: Disk,
        workloads: &[Workload],
        faults: &[Fault],
    ) -> (Result<Vec<Survivor>, LastWords>, u32) {
        let fs = self.fs(disk, Role::Recovery);
        fs.plan_faults(faults);
        let shown = self.recover(&fs, false, workloads);
        (shown, fs.faults_injected())
    }

    /// Recovers what is left on a disk and asks the oracle. Returns how many entries survive, and what
    /// recovery did: the same number for the same kinds of operations.
    pub(crate) fn examine(
        &self,
        disk: Disk,
        events: &[Event],
        workloads: &[Workload],
    ) -> Result<(usize, u64), Violation> {
        let fs = self.fs(disk, Role::Recovery);
        let survivors = self
            .recover(&fs, false, workloads)
            .map_err(|words| words.of(Stage::RecoveryFailed))?;
        self.oracle.check(events, &survivors)?;
        let (entries, _) = Survivor::entries(&survivors);
        Ok((entries.len(), fs.trail()))
    }

    /// The position below which what is left on a disk vouches for everything.
    pub(crate) fn vouched(&self, disk: Disk) -> Option<u64> {
        let fs = self.fs(disk, Role::Recovery);
        self.bench.store.vouched(&fs, Path::new(STORE))
    }

    /// What had been announced, were this life to end at a gap.
    pub(crate) fn events_at(&self, life: &Life, lived: &Lived, gap: usize) -> Vec<Event> {
        let mut events = self.events.clone();
        if matches!(life, Life::Write(_)) {
            events.extend(lived.announced_at(gap));
        }
        events
    }

    /// What a life did that it must not do, whenever it is ended.
    pub(crate) fn judge(&self, life: &Life, lived: &Lived) -> Result<(), Violation> {
        match (&lived.result, life) {
            // A store may stop working when its disk does, if it stops.
            (Err(LastWords::Error(_)), _) if lived.faults > 0 => Ok(()),
            (Err(words), Life::Write(_)) => Err(words.of(Stage::WriterFailed)),
            (Err(words), Life::Recover { .. }) => Err(words.of(Stage::RecoveryFailed)),
            (Ok(survivors), Life::Recover { .. }) => self.oracle.check(&self.events, survivors),
            (Ok(_), Life::Write(_)) => Ok(()),
        }
    }

    /// The world after a life that ended as `step` says.
    pub(crate) fn after(&self, lived: &Lived, step: Step) -> Self {
        let gaps = &lived.recording.gaps;
        let last = gaps.len() - 1;
        let gap = step.until.unwrap_or(last).min(last);
        let disk = &gaps[gap].disk;
        let disk = match &step.end {
            End::Kill => disk.clone(),
            End::PowerLoss(answers) => disk.crash(&mut Replayed::new(answers)),
        };
        let mut after = Self {
            bench: self.bench.clone(),
            oracle: oracle::copy(&*self.oracle, || self.bench.subject.oracle()),
            events: self.events_at(&step.life, lived, gap),
            workloads: self.workloads.clone(),
            timeline: self.timeline.clone(),
            disk,
        };
        if let Life::Write(workload) = &step.life {
            after.workloads.push(workload.clone());
        }
        if let (Life::Recover { .. }, None, Ok(survivors)) = (&step.life, step.until, &lived.result)
        {
            // What it showed may never be lost, what it did not show may never come back.
            after.oracle.advance(&self.events, survivors);
            after.events.clear();
        }
        after.timeline.steps.push(step);
        after
    }
}

impl LastWords {
    /// As a broken promise.
    pub(crate) fn of(&self, stage: Stage) -> Violation {
        let detail = self.told();
        Violation::Broken { stage, detail }
    }

    fn told(&self) -> String {
        match self {
            Self::Error(detail) => detail.clone(),
            Self::Panic(message) => format!("panicked: {message}"),
            Self::Endless(operations) => {
                format!("it has not come to an end after {operations} operations")
            }
        }
    }
}

/// A store that the file system had to stop has not ended, whatever it says of that.
fn ended<T>(fs: &SimFs, result: Result<T, LastWords>) -> Result<T, LastWords> {
    match (fs.gave_up_after(), result) {
        (Some(operations), Ok(_) | Err(LastWords::Error(_))) => Err(LastWords::Endless(operations)),
        (_, result) => result,
    }
}

thread_local! {
    /// This thread runs a subject's code: what it has to say is caught and told.
    static IN_STORE: Cell<bool> = const { Cell::new(false) };
}

/// From now on, a panic of a store on the simulated file system is not printed where it happens. A
/// store that panics in one crash state does so in thousands.
pub(crate) fn keep_panics_quiet() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IN_STORE.get() {
            print(info);
        }
    }));
}

/// Runs a subject's code.
fn guarded<T>(work: impl FnOnce() -> Result<T, SubjectError>) -> Result<T, LastWords> {
    IN_STORE.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IN_STORE.set(false);
    match result {
        Ok(result) => result.map_err(|error| LastWords::Error(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(LastWords::Panic(text.unwrap_or("(no message)").to_owned()))
        }
    }
}
