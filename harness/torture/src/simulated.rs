//! groupwal on the simulated file system, through its storage seam and its executor seam: everything
//! on one thread, with a clock that stands still until everybody waits for it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use groupwal::format::{Header, frame_places};
use groupwal::{EngineKind, Error, Executor, Options, Storage, SyncPolicy, Wal};
use plugpull::sim::SimFs;
use plugpull::{
    Recorder, SimRecoverRun, SimWriteRun, Simulated, SubjectError, Survivors, Workload,
};
use tokio::runtime::{Builder, Handle};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::act::act;
use crate::acted::Acted;
use crate::at_rest::{When, crowd, fill_a_group};
use crate::batch::{append_batch, batch_of};
use crate::groupwal::{GroupWal, note_next, show_all};
use crate::sim_storage::SimStorage;

/// Room for one entry of a tiny workload, but not for one that is to be refused.
const ENTRY_BYTES_MAX: usize = 2 << 10;
/// Longer than any workload waits, on a clock that stands still while anybody has something to do.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
/// Streams of numbers that derive from a workload's seed.
const SHAPE: u64 = 0x7304;
const END: u64 = 0x46;

/// The sizes of a log, which differ from one opening to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A few blocks of 512 bytes a segment.
    Small,
    /// Blocks of a page.
    Pages,
    /// Groups that fit no segment of the other shapes' size with 512-byte blocks.
    LargeGroups,
}

impl Shape {
    /// One log in four has pages, and one in five large groups.
    fn of(workload: &Workload) -> Self {
        match draw(workload.seed, SHAPE) % 4 {
            _ if workload.seed.is_multiple_of(4) => Self::Pages,
            0 => Self::LargeGroups,
            _ => Self::Small,
        }
    }

    fn group_bytes(self) -> usize {
        if self == Self::LargeGroups {
            8 << 10
        } else {
            4 << 10
        }
    }
}

/// What a writer process does in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It stops.
    Stops,
    /// It closes the log when all is done.
    Closes,
    /// Its first writer closes the log while the others append.
    ClosesEarly,
}

impl Ending {
    fn of(workload: &Workload) -> Self {
        match draw(workload.seed, END) % 4 {
            0 => Self::Closes,
            1 => Self::ClosesEarly,
            _ => Self::Stops,
        }
    }
}

impl GroupWal {
    /// Segments of a few frames, so that they are full, trimmed and recycled all the time.
    fn tiny_options(&self, engine: &str, shape: Shape) -> Options {
        let (block_bytes, segment_bytes) = match shape {
            Shape::Small => (512, 6 << 10),
            Shape::Pages => (4096, 20 << 10),
            Shape::LargeGroups => (512, 12 << 10),
        };
        let options = Options::default()
            .policy(self.policy)
            .block_bytes(block_bytes)
            .segment_bytes(segment_bytes)
            .entry_bytes_max(ENTRY_BYTES_MAX)
            .group_bytes_max(shape.group_bytes());
        match engine {
            "inline" => options.engine(EngineKind::Inline),
            _ => options
                .engine(EngineKind::Blocking)
                .executor(Arc::new(SoonHere::default())),
        }
    }

    async fn open_simulated(
        &self,
        fs: &SimFs,
        dir: &Path,
        engine: &str,
        shape: Shape,
    ) -> Result<Wal, Error> {
        let storage: Arc<dyn Storage> = Arc::new(SimStorage(fs.clone()));
        Wal::open_with(storage, dir, self.tiny_options(engine, shape)).await
    }

    /// Whether appends that are made at once share groups, as far as these have room.
    fn shares_groups(&self, engine: &str) -> bool {
        engine != "inline" && self.policy != SyncPolicy::EveryWrite
    }
}

impl Simulated for GroupWal {
    /// There is no ring under a simulated disk.
    fn runs(&self, engine: &str) -> bool {
        engine != "uring"
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        drive(async {
            let shape = Shape::of(run.workload);
            let wal = self
                .open_simulated(run.fs, run.dir, run.engine, shape)
                .await?;
            if shape == Shape::LargeGroups && self.shares_groups(run.engine) {
                // Where the log goes on was made for smaller groups, perhaps.
                let much = (shape.group_bytes(), When::First);
                fill_a_group(&wal, run.workload, run.recorder, much).await;
            }
            let closing = Arc::new(AtomicBool::new(false));
            let mut writers = JoinSet::new();
            for writer in 0..run.workload.writers {
                let (workload, recorder) = (run.workload.clone(), run.recorder.clone());
                let closing = Arc::clone(&closing);
                writers.spawn(carry_out(wal.clone(), workload, writer, recorder, closing));
            }
            while let Some(ended) = writers.join_next().await {
                match ended {
                    Ok(result) => result?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            if Ending::of(run.workload) == Ending::Closes {
                if self.shares_groups(run.engine) {
                    let much = (shape.group_bytes(), When::Last);
                    fill_a_group(&wal, run.workload, run.recorder, much).await;
                }
                close(&wal, run.recorder).await?;
            }
            Ok(())
        })
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        drive(async {
            let wal = self
                .open_simulated(run.fs, run.dir, run.engine, Shape::Small)
                .await?;
            show_all(&wal, survivors).await?;
            if run.close {
                wal.close().await?;
            }
            Ok(())
        })
    }

    fn vouched(&self, fs: &SimFs, dir: &Path) -> Option<u64> {
        Some(vouched_in(fs, dir))
    }
}

/// The highest `durable_seq` of any frame header that is still valid, wherever it stands in the log's
/// directory.
pub(crate) fn vouched_in(fs: &SimFs, dir: &Path) -> u64 {
    let mut vouched = 0;
    for name in fs.read_dir(dir).unwrap_or_default() {
        let extension = Path::new(&name).extension();
        if extension.is_none_or(|extension| extension != "seg") {
            continue;
        }
        let bytes = fs.read(dir.join(name)).unwrap_or_default();
        vouched = vouched.max(vouched_in_segment(&bytes).unwrap_or(0));
    }
    vouched
}

fn vouched_in_segment(bytes: &[u8]) -> Option<u64> {
    let headers =
        frame_places(bytes).filter_map(|(offset, seed)| Header::decode(seed, &bytes[offset..]));
    headers.map(|(header, _)| header.durable_seq).max()
}

/// Runs it to its end, on one thread.
///
/// # Errors
/// As the work has.
///
/// # Panics
/// If it has none: everybody waits for somebody else, and no timer is set. That is not excused by a
/// disk that fails, as an error would be.
///
/// # Errors
/// As `work` ends.
pub fn drive(work: impl Future<Output = Result<(), SubjectError>>) -> Result<(), SubjectError> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let ended = runtime.block_on(async { timeout(NEVER, work).await });
    ended.unwrap_or_else(|_| panic!("it hangs: everybody waits, and nobody will ever wake them"))
}

/// One writer. Between its actions it lets others go first, now and then; the first one trims, and closes the
/// log if that is how the process ends; all of them read what is there if the workload says so.
async fn carry_out(
    wal: Wal,
    workload: Workload,
    writer: u32,
    recorder: Recorder,
    closing: Arc<AtomicBool>,
) -> Result<(), Error> {
    let closes = writer == 0 && Ending::of(&workload) == Ending::ClosesEarly;
    let mut actions = workload.actions(writer);
    while let Some(action) = actions.next() {
        if let Some(pause) = action.pause {
            tokio::time::sleep(pause).await;
        }
        let luck = draw(workload.seed, action.id);
        for _ in 0..luck % 4 {
            yield_now().await;
        }
        if closes && (luck >> 4).is_multiple_of(4) {
            closing.store(true, Ordering::Relaxed);
            return close_among_appends(&wal, &workload, &recorder).await;
        }
        // What is tried behind this is refused, and says nothing of the log that was closed.
        if closing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let acted = match batch_of(&workload, &action, &mut actions) {
            Some(ids) => append_batch(&wal, &workload, &ids, &recorder).await?,
            None => act(&wal, &workload, &action, &recorder).await?,
        };
        if let Acted::At(seq) = acted {
            if let Some(every) = workload.trim_every.filter(|_| writer == 0) {
                trim(&wal, seq + 1, every.into(), &recorder).await?;
            }
            if workload.replays && luck.is_multiple_of(3) {
                replay(&wal, &recorder, luck >> 6).await?;
            }
        }
    }
    Ok(())
}

/// Closes the log right behind appends: of those, one is on its way to the disk, and the others have joined the
/// next group or wait for room in it.
async fn close_among_appends(
    wal: &Wal,
    workload: &Workload,
    recorder: &Recorder,
) -> Result<(), Error> {
    let appends = crowd(wal, workload, recorder, When::Closing);
    yield_now().await;
    close(wal, recorder).await?;
    appends.join_all().await;
    Ok(())
}

/// Closes the log.
async fn close(wal: &Wal, recorder: &Recorder) -> Result<(), Error> {
    wal.close().await?;
    recorder.closed();
    Ok(())
}

/// Gives up the older half of the log, if it is due.
pub(crate) async fn trim(
    wal: &Wal,
    acked: u64,
    every: u64,
    recorder: &Recorder,
) -> Result<(), Error> {
    let below = acked.saturating_sub(every / 2);
    if below >= wal.trim_seq() + every {
        recorder.trim_begin(below);
        match wal.trim(below).await {
            Ok(()) => recorder.trim_end(below),
            // A poisoned log tells its appends so.
            Err(error) if error.is_not_written() || error.is_outcome_unknown() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the running log, from its beginning or from somewhere in it; what it shows may not be lost any more.
///
/// # Panics
/// If it skips an entry, or does not show all that was durable when it began.
pub(crate) async fn replay(wal: &Wal, recorder: &Recorder, luck: u64) -> Result<(), Error> {
    let (oldest, durable) = (wal.trim_seq(), wal.durable_seq());
    let from = if luck.is_multiple_of(2) {
        oldest
    } else {
        oldest + (luck >> 1) % (durable - oldest + 1)
    };
    let mut next = from;
    let mut replay = wal.replay(from);
    loop {
        match replay.next().await {
            Ok(Some(record)) => {
                note_next(recorder, &record, next);
                next += 1;
            }
            Ok(None) => {
                assert!(next >= durable, "a replay ends before what is durable");
                return Ok(());
            }
            Err(error) if error.is_trimmed() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A number that derives from two.
pub fn draw(seed: u64, id: u64) -> u64 {
    (seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 33
}

/// Runs blocking work on the runtime's own thread, after others have had a turn or two.
#[derive(Default)]
pub struct SoonHere {
    pieces: AtomicU64,
}

impl Executor for SoonHere {
    fn execute(&self, work: Box<dyn FnOnce() + Send>) {
        let turns = draw(0, self.pieces.fetch_add(1, Ordering::Relaxed)) % 3;
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                for _ in 0..turns {
                    yield_now().await;
                }
                work();
            })),
            Err(_) => work(),
        }
    }
}
