//! groupwal in untidy surroundings: its directory is renamed while it is used, its disk is full until it is
//! trimmed, and it is closed and opened again with other options.
//!
//! Besides what every log owes, its writer checks two promises about a full disk: a trim that frees a segment
//! succeeds, and then an append does. What breaks them is an error of the writer. An error proves nothing
//! while the disk itself fails, so the crash kinds excuse it there.

mod process;
mod relief;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use groupwal::{Options, OsStorage, Storage, SyncPolicy, Wal};
use plugpull::sim::{FileSystem, OsFs, SimFs};
use plugpull::{
    RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, WriteRun,
};
use tokio::sync::Mutex;

use self::process::{Fill, PHASES, Process};
use crate::ballast::Ballast;
use crate::groupwal::{engine_kind, engines, runtime, show_all};
use crate::sim_storage::SimStorage;
use crate::simulated::{SoonHere, draw, drive, vouched_in};

/// The names that the log's directory has in turn.
const HOMES: [&str; 2] = ["log", "moved"];

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

impl Subject for Untidy {
    fn name(&self) -> &'static str {
        "groupwal/untidy"
    }

    fn constructor(&self) -> String {
        "torture::Untidy".to_owned()
    }

    fn engines(&self) -> &[&'static str] {
        engines()
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
        let process = Arc::new(Process {
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
        let ended = runtime()?.block_on(Arc::clone(&process).run());
        ended.or_else(|error| {
            if process.is_excused(&*error) {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let ballast = Ballast::on_small_disk(run.dir)?;
        let remove = || ballast.as_ref().map_or(Ok(()), Ballast::remove);
        if ballast.as_ref().is_some_and(Ballast::is_copy_on_write) {
            // Recovery writes the end of the log again, for which there would be no space.
            remove()?;
        }
        let home = home(&OsFs, run.dir)?;
        let options = options(&REAL, 0).engine(engine_kind(run.engine));
        runtime()?.block_on(async {
            let wal = recover(Arc::new(OsStorage), home, options, survivors).await?;
            if run.close {
                // A trim and a seal of earlier writers may have used up the reserve of the last segment.
                remove()?;
                wal.close().await?;
            }
            Ok(())
        })
    }
}

impl Simulated for Untidy {
    /// There is no ring under a simulated disk.
    fn runs(&self, engine: &str) -> bool {
        engine != "uring"
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let process = Arc::new(Process {
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
        drive(process.run())
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let home = home(run.fs, run.dir)?;
        let options = simulated(options(&TINY, 0).engine(engine_kind(run.engine)));
        let storage = Arc::new(SimStorage(run.fs.clone()));
        drive(async {
            let wal = recover(storage, home, options, survivors).await?;
            if run.close {
                wal.close().await?;
            }
            Ok(())
        })
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
    survivors: &mut Survivors<'_>,
) -> Result<Wal, SubjectError> {
    let wal = Wal::open_with(storage, home, options).await?;
    show_all(&wal, survivors).await?;
    Ok(wal)
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
