//! groupwal on the simulated file system, through its storage seam and its executor seam: everything
//! on one thread, with a clock that stands still until everybody waits for it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use groupwal::format::{Header, frame_places};
use groupwal::{EngineKind, Error, Executor, Options, Storage, Wal};
use plugpull::sim::SimFs;
use plugpull::{
    Recorder, SimRecoverRun, SimWriteRun, Simulated, SubjectError, Survivors, Workload,
};
use tokio::runtime::{Builder, Handle};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::groupwal::{Acted, GroupWal, act, note_shown, show_all};
use crate::sim_storage::SimStorage;

/// Room for one entry of a tiny workload, but not for one that is to be refused.
const ENTRY_BYTES_MAX: usize = 2 << 10;
/// Longer than any workload waits, on a clock that stands still while anybody has something to do.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

impl GroupWal {
    /// Segments of a few frames, so that they are full, trimmed and recycled all the time.
    fn tiny_options(&self, engine: &str, pages: bool) -> Options {
        let block_bytes: u32 = if pages { 4096 } else { 512 };
        let options = Options::default()
            .policy(self.policy)
            .block_bytes(block_bytes)
            .segment_bytes(if pages { 20 << 10 } else { 6 << 10 })
            .entry_bytes_max(ENTRY_BYTES_MAX)
            .group_bytes_max(4 << 10);
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
        pages: bool,
    ) -> Result<Wal, Error> {
        let storage: Arc<dyn Storage> = Arc::new(SimStorage(fs.clone()));
        Wal::open_with(storage, dir, self.tiny_options(engine, pages)).await
    }
}

impl Simulated for GroupWal {
    /// There is no ring under a simulated disk.
    fn runs(&self, engine: &str) -> bool {
        engine != "uring"
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        drive(async {
            // One log in four has blocks of a page.
            let pages = run.workload.seed.is_multiple_of(4);
            let wal = self
                .open_simulated(run.fs, run.dir, run.engine, pages)
                .await?;
            let mut writers = JoinSet::new();
            for writer in 0..run.workload.writers {
                let (workload, recorder) = (run.workload.clone(), run.recorder.clone());
                writers.spawn(carry_out(wal.clone(), workload, writer, recorder));
            }
            while let Some(ended) = writers.join_next().await {
                match ended {
                    Ok(result) => result?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            Ok(())
        })
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        drive(async {
            let wal = self
                .open_simulated(run.fs, run.dir, run.engine, false)
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

/// One writer. Between its actions it lets others go first, now and then; the first one trims, all of
/// them read what is there if the workload says so.
async fn carry_out(
    wal: Wal,
    workload: Workload,
    writer: u32,
    recorder: Recorder,
) -> Result<(), Error> {
    for action in workload.actions(writer) {
        if let Some(pause) = action.pause {
            tokio::time::sleep(pause).await;
        }
        for _ in 0..draw(workload.seed, action.id) % 4 {
            yield_now().await;
        }
        if let Acted::At(seq) = act(&wal, &workload, &action, &recorder).await? {
            if let Some(every) = workload.trim_every.filter(|_| writer == 0) {
                trim(&wal, seq + 1, every.into(), &recorder).await?;
            }
            if workload.replays && draw(workload.seed, action.id).is_multiple_of(3) {
                replay(&wal, &recorder).await?;
            }
        }
    }
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

/// Reads the running log; what it shows may not be lost any more.
pub(crate) async fn replay(wal: &Wal, recorder: &Recorder) -> Result<(), Error> {
    let mut replay = wal.replay(wal.trim_seq());
    loop {
        match replay.next().await {
            Ok(Some(record)) => note_shown(recorder, &record),
            Ok(None) => return Ok(()),
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
