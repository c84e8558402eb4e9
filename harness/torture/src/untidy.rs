//! groupwal in untidy surroundings: its directory is renamed while it is used, its disk is full until it is
//! trimmed, and it is closed and opened again with other options.
//!
//! Besides what every log owes, its writer checks two promises about a full disk: a trim that frees a segment
//! succeeds, and then an append does. What breaks them is an error of the writer. An error proves nothing
//! while the disk itself fails, so the crash kinds excuse it there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use groupwal::{EngineKind, Options, OsStorage, Storage, SyncPolicy, Wal};
use plugpull::sim::{FileSystem, OsFs, SimFs};
use plugpull::{
    Action, ActionKind, Recorder, RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject,
    SubjectError, Survivors, Workload, WriteRun,
};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, yield_now};

use crate::ballast::Ballast;
use crate::groupwal::{Acted, act, engine_kind, record_failure, runtime, show_all};
use crate::quota::Quota;
use crate::sim_storage::SimStorage;
use crate::simulated::{SoonHere, draw, drive, replay, trim, vouched_in};

/// The names that the log's directory has in turn.
const HOMES: [&str; 2] = ["log", "moved"];
/// Streams of numbers that derive from a workload's seed.
const PHASES: u64 = 0x7068;
const ACTIONS: u64 = 0x6163;
/// The length of a batch.
const BATCH: usize = 3;

/// A log of which two segments fit the disk, of either length, and three never do.
struct Sizes {
    block: u32,
    segments: [u64; 2],
    group: usize,
    entry: usize,
    /// LOCK included.
    disk: u64,
}

/// The first frame of a segment leaves its reserved blocks free, however large the group is.
const REAL: Sizes = Sizes {
    block: 4096,
    segments: [48 << 10, 64 << 10],
    group: 32 << 10,
    entry: 8 << 10,
    disk: 140 << 10,
};
const TINY: Sizes = Sizes {
    block: 512,
    segments: [4 << 10, 5 << 10],
    group: 2 << 10,
    entry: 1536,
    disk: 15 << 10,
};

/// The subject.
#[derive(Debug)]
pub struct Untidy;

/// What fills the disk.
#[derive(Debug)]
enum Fill {
    /// A limit of the storage. `contested`: another program takes what becomes free.
    Quota { contested: bool },
    /// A file on a small real disk.
    Ballast { ballast: Ballast, contested: bool },
    /// Nothing: the log has its descriptors.
    Nothing,
}

/// A writer from its start to its end.
struct Life {
    /// For the names around the log.
    fs: Arc<dyn FileSystem>,
    /// The same, where it is simulated.
    sim: Option<SimFs>,
    storage: Arc<dyn Storage>,
    fill: Fill,
    dir: PathBuf,
    engine: EngineKind,
    workload: Workload,
    recorder: Recorder,
    /// One trim at a time: the next one begins when the last one has removed its files.
    trimming: Mutex<()>,
}

/// The log as it is from one opening to the next.
#[derive(Clone)]
struct Phase {
    wal: Wal,
    spares_max: usize,
    /// Every segment has the length that the next one is to have, so its file can become that one.
    is_uniform: bool,
}

type Actions = Box<dyn Iterator<Item = Action> + Send>;

impl Subject for Untidy {
    fn name(&self) -> &'static str {
        "groupwal/untidy"
    }

    fn constructor(&self) -> String {
        "torture::Untidy".to_owned()
    }

    fn engines(&self) -> &[&'static str] {
        if EngineKind::Uring.is_available() {
            &["blocking", "inline", "uring"]
        } else {
            &["blocking", "inline"]
        }
    }

    /// One group at a time is on its way to the disk.
    fn has_one_request_in_flight(&self, engine: &str) -> bool {
        engine == "uring"
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let luck = draw(run.workload.seed, PHASES);
        let contested = luck.is_multiple_of(2);
        let fill = match Ballast::on_small_disk(run.dir)? {
            Some(ballast) => Fill::Ballast { ballast, contested },
            None if luck & 2 == 0 => Fill::Quota { contested },
            None => Fill::Nothing,
        };
        let life = Arc::new(Life {
            fs: Arc::new(OsFs),
            sim: None,
            storage: Arc::new(OsStorage),
            fill,
            dir: run.dir.to_owned(),
            engine: engine_kind(run.engine),
            workload: run.workload.clone(),
            recorder: run.recorder.clone(),
            trimming: Mutex::default(),
        });
        let ended = runtime()?.block_on(Arc::clone(&life).live());
        ended.or_else(|error| {
            if life.is_excused(&*error) {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        if let Some(ballast) = Ballast::on_small_disk(run.dir)?
            && ballast.is_copy_on_write()
        {
            // Recovery writes the end of the log again, for which there would be no space.
            ballast.remove()?;
        }
        let home = home(&OsFs, run.dir)?;
        let options = options(&REAL, 0).engine(engine_kind(run.engine));
        runtime()?.block_on(recover(
            Arc::new(OsStorage),
            home,
            options,
            run.close,
            survivors,
        ))
    }
}

impl Simulated for Untidy {
    /// There is no ring under a simulated disk.
    fn runs(&self, engine: &str) -> bool {
        engine != "uring"
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let life = Arc::new(Life {
            fs: Arc::new(run.fs.clone()),
            sim: Some(run.fs.clone()),
            storage: Arc::new(SimStorage(run.fs.clone())),
            fill: Fill::Quota {
                contested: draw(run.workload.seed, PHASES).is_multiple_of(2),
            },
            dir: run.dir.to_owned(),
            engine: engine_kind(run.engine),
            workload: run.workload.clone(),
            recorder: run.recorder.clone(),
            trimming: Mutex::default(),
        });
        drive(life.live())
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let home = home(run.fs, run.dir)?;
        let options = simulated(options(&TINY, 0).engine(engine_kind(run.engine)));
        let storage = Arc::new(SimStorage(run.fs.clone()));
        drive(recover(storage, home, options, run.close, survivors))
    }

    fn vouched(&self, fs: &SimFs, dir: &Path) -> Option<u64> {
        let homes = HOMES.map(|name| vouched_in(fs, &dir.join(name)));
        homes.into_iter().max()
    }
}

/// Options that differ from one opening to the next.
fn options(sizes: &Sizes, luck: u64) -> Options {
    let policy = match luck % 4 {
        0 | 1 => SyncPolicy::Adaptive,
        2 => SyncPolicy::EveryWrite,
        _ => SyncPolicy::Batch {
            max_entries: 8,
            max_delay: Duration::from_millis(1),
        },
    };
    Options::default()
        .policy(policy)
        .block_bytes(sizes.block)
        .entry_bytes_max(sizes.entry)
        .group_bytes_max(sizes.group)
        .segment_bytes(sizes.segments[0])
}

/// Blocking work on the simulation's only thread.
fn simulated(options: Options) -> Options {
    options.executor(Arc::new(SoonHere::default()))
}

async fn recover(
    storage: Arc<dyn Storage>,
    home: PathBuf,
    options: Options,
    close: bool,
    survivors: &mut Survivors<'_>,
) -> Result<(), SubjectError> {
    let wal = Wal::open_with(storage, home, options).await?;
    show_all(&wal, survivors).await?;
    if close {
        wal.close().await?;
    }
    Ok(())
}

/// Where the log is: under one of its names, or nowhere yet.
fn home(fs: &dyn FileSystem, dir: &Path) -> Result<PathBuf, SubjectError> {
    let names = match fs.read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut found = HOMES
        .iter()
        .filter(|home| names.iter().any(|name| name == *home));
    let home = found.next().unwrap_or(&HOMES[0]);
    if found.next().is_some() {
        return Err(format!("there are two directories, {HOMES:?}, and only one was made").into());
    }
    Ok(dir.join(home))
}

impl Life {
    fn sizes(&self) -> &'static Sizes {
        if self.sim.is_some() { &TINY } else { &REAL }
    }

    /// Whether the disk fails by itself: then the log owes less.
    fn is_failing(&self) -> bool {
        self.sim.as_ref().is_some_and(|fs| fs.faults_injected() > 0)
    }

    /// Whether a full disk may do this to a log.
    fn is_excused(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        let Fill::Ballast { ballast, .. } = &self.fill else {
            return false;
        };
        let error = error.downcast_ref::<groupwal::Error>();
        ballast.is_copy_on_write() && error.is_some_and(groupwal::Error::is_disk_full)
    }

    async fn live(self: Arc<Self>) -> Result<(), SubjectError> {
        let all = 0..self.workload.writers;
        let mut writers: Vec<(u32, Actions)> = all
            .map(|writer| (writer, Box::new(self.workload.actions(writer)) as Actions))
            .collect();
        for number in 1.. {
            let phase = self.open(number).await?;
            let mut tasks = JoinSet::new();
            for (writer, actions) in writers.drain(..) {
                tasks.spawn(Arc::clone(&self).carry_out(phase.clone(), writer, actions));
            }
            while let Some(ended) = tasks.join_next().await {
                match ended {
                    Ok(left) => writers.extend(left?),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            if writers.is_empty() {
                break;
            }
            writers.sort_unstable_by_key(|(writer, _)| *writer);
            let mut closed = phase.wal.close().await;
            if closed.as_ref().is_err_and(groupwal::Error::is_disk_full) {
                // An append that was dropped may have been refused in the same group. The seal alone has
                // room.
                closed = phase.wal.close().await;
            }
            match closed {
                // A log that is poisoned is opened again to go on.
                Err(error) if error.is_poisoned() && self.is_failing() => {}
                // Two lengths of segments: what was freed may have been too short, and is gone.
                Err(error) if error.is_disk_full() && !phase.is_uniform => {}
                closed => closed?,
            }
        }
        Ok(())
    }

    async fn open(&self, number: u64) -> Result<Phase, SubjectError> {
        let luck = draw(self.workload.seed, PHASES + number);
        let home = home(&*self.fs, &self.dir)?;
        let segments = self.sizes().segments;
        // On a real disk a longer segment does not fit where a shorter one was.
        let segment_bytes = match self.fill {
            Fill::Ballast { .. } => segments[0],
            _ => segments[usize::from(luck & 16 != 0)],
        };
        let spares_max = if luck & 32 == 0 { 0 } else { 2 };
        let mut options = options(self.sizes(), luck)
            .engine(self.engine)
            .segment_bytes(segment_bytes)
            .spare_segments_max(spares_max);
        if self.sim.is_some() && self.engine == EngineKind::Blocking {
            options = simulated(options);
        }
        let storage: Arc<dyn Storage> = match self.fill {
            Fill::Quota { contested } => {
                let storage = Arc::clone(&self.storage);
                Arc::new(Quota::new(storage, self.sizes().disk, contested))
            }
            Fill::Ballast { .. } | Fill::Nothing => Arc::clone(&self.storage),
        };
        let is_uniform = self.is_uniform(&home, segment_bytes)?;
        let wal = Wal::open_with(storage, home, options).await?;
        if number == 1
            && let Fill::Ballast { ballast, .. } = &self.fill
        {
            ballast.fill()?;
        }
        Ok(Phase {
            wal,
            spares_max,
            is_uniform,
        })
    }

    /// Whether all segments that are there have this length.
    fn is_uniform(&self, home: &Path, segment_bytes: u64) -> Result<bool, SubjectError> {
        let names = match self.fs.read_dir(home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            read => read?,
        };
        for name in names.iter().filter(|name| *name != "LOCK") {
            let mut reading = plugpull::sim::OpenOptions::new();
            let file = self.fs.open(&home.join(name), reading.read(true))?;
            if file.length()? != segment_bytes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One writer until the log is to be opened again. Returns its other actions, if there are any.
    async fn carry_out(
        self: Arc<Self>,
        phase: Phase,
        writer: u32,
        mut actions: Actions,
    ) -> Result<Option<(u32, Actions)>, SubjectError> {
        let (workload, wal) = (&self.workload, &phase.wal);
        // Up to here everything was durable when the full disk was trimmed: an append has room.
        let mut owed = None;
        for _ in 0..3 + draw(workload.seed, ACTIONS) % 12 {
            let Some(action) = actions.next() else {
                return Ok(None);
            };
            if let Some(pause) = action.pause {
                tokio::time::sleep(pause).await;
            }
            let luck = draw(workload.seed ^ ACTIONS, action.id);
            for _ in 0..luck % 4 {
                yield_now().await;
            }
            if writer == 0 && (luck >> 2).is_multiple_of(5) {
                self.rename()?;
            }
            let is_batch = action.kind == ActionKind::Append && (luck >> 8).is_multiple_of(4);
            let len = (!is_batch).then(|| workload.payload(action.id).len());
            let acted = if is_batch {
                self.append_batch(wal, action, &mut actions).await?
            } else {
                act(wal, workload, &action, &self.recorder).await?
            };
            match acted {
                Acted::At(seq) => {
                    if let Some(every) = workload.trim_every.filter(|_| writer == 0) {
                        self.trim_at_times(wal, seq + 1, every.into()).await?;
                    }
                    if workload.replays && (luck >> 12).is_multiple_of(3) {
                        replay(wal, &self.recorder).await?;
                    }
                    owed = None;
                }
                Acted::Full if owed == Some(wal.durable_seq()) => {
                    return Err(
                        "the disk is still full for an append after a trim that freed a \
                                segment of the log"
                            .into(),
                    );
                }
                Acted::Full => owed = self.relieve(&phase, luck >> 16, len).await?,
                Acted::Nothing => {}
            }
        }
        Ok(Some((writer, actions)))
    }

    /// Renames the log's directory, durably, while the log is in use.
    fn rename(&self) -> Result<(), SubjectError> {
        let from = home(&*self.fs, &self.dir)?;
        let name = HOMES.iter().find(|name| !from.ends_with(name));
        let to = self.dir.join(name.expect("there are two"));
        let renamed = self.fs.rename(&from, &to);
        match renamed.and_then(|()| self.fs.sync_dir(&self.dir)) {
            Err(_) if self.is_failing() => Ok(()),
            // A directory may need a block for the new name.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            renamed => Ok(renamed?),
        }
    }

    /// Appends the next actions in one batch.
    async fn append_batch(
        &self,
        wal: &Wal,
        first: Action,
        actions: &mut Actions,
    ) -> Result<Acted, SubjectError> {
        let rest = actions.take(BATCH - 1).map(|action| action.id);
        let ids: Vec<u64> = std::iter::once(first.id).chain(rest).collect();
        let payloads: Vec<Vec<u8>> = ids.iter().map(|id| self.workload.payload(*id)).collect();
        for id in &ids {
            self.recorder.attempt(*id);
        }
        match wal.append_batch(&payloads).await {
            Ok(positions) => {
                for (id, position) in ids.iter().zip(positions.clone()) {
                    self.recorder.ack(*id, position);
                }
                Ok(Acted::At(positions.end - 1))
            }
            Err(error) => {
                let mut acted = Acted::Nothing;
                for id in ids {
                    acted = record_failure(id, error.clone(), &self.recorder)?;
                }
                Ok(acted)
            }
        }
    }

    /// The trims of a log that has room.
    async fn trim_at_times(&self, wal: &Wal, acked: u64, every: u64) -> Result<(), SubjectError> {
        if matches!(self.fill, Fill::Ballast { .. }) {
            // They might use up a segment's reserve, which the next generation would count on.
            return Ok(());
        }
        let _only = self.trimming.lock().await;
        Ok(trim(wal, acked, every, &self.recorder).await?)
    }

    /// Trims the log on the full disk. If then an append must succeed, returns the position up to which
    /// everything was durable: what is appended behind it takes the space that became free.
    ///
    /// `len` is the length of the payload that was refused, if it was one.
    async fn relieve(
        &self,
        phase: &Phase,
        luck: u64,
        len: Option<usize>,
    ) -> Result<Option<u64>, SubjectError> {
        let wal = &phase.wal;
        let _only = self.trimming.lock().await;
        let (segments, trimmed, durable) = (wal.segment_count(), wal.trim_seq(), wal.durable_seq());
        let is_whole = matches!(self.fill, Fill::Ballast { .. }) || !luck.is_multiple_of(4);
        let below = if is_whole {
            durable
        } else {
            trimmed.midpoint(durable)
        };
        // The newest segment is full, so it has entries: the ones before it lie below the position.
        let must_free = is_whole && segments > 1 && phase.is_uniform;
        if segments == 1
            && let Fill::Ballast { ballast, .. } = &self.fill
        {
            // Nothing can be freed: the space has to come from elsewhere.
            ballast.remove()?;
        }
        self.recorder.trim_begin(below);
        match wal.trim(below).await {
            Ok(()) => self.recorder.trim_end(below),
            Err(error) if error.is_poisoned() || error.is_outcome_unknown() => return Ok(None),
            Err(error) if error.is_not_written() => {
                if wal.trim_seq() > trimmed {
                    return Err(format!("a trim that failed hides entries: {error}").into());
                }
                if must_free && error.is_disk_full() && !self.is_failing() {
                    let broken = format!(
                        "on a full disk a trim that frees {} segments was refused: {error}",
                        segments - 1
                    );
                    return Err(broken.into());
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let contested = match &self.fill {
            Fill::Quota { contested } => *contested,
            Fill::Ballast { ballast, contested } => {
                if segments > 1 && *contested {
                    ballast.fill()?;
                }
                *contested
            }
            Fill::Nothing => false,
        };
        // A trim that had room in its segment leaves what it frees to the disk, unless spares are wanted.
        // It had none if the entry that was refused would have taken a single block, too.
        let block = self.sizes().block as usize;
        let had_no_room = self.workload.writers == 1 && len.is_some_and(|len| len + 128 <= block);
        let is_kept = phase.spares_max > 0 || had_no_room;
        let is_free = !self.workload.replays && (is_kept || !contested);
        Ok((must_free && is_free && !self.is_failing()).then_some(durable))
    }
}
