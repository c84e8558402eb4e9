//! The subject.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use groupwal::{Options, OsStorage, Storage, Wal};
use plugpull::sim::{OsFs, SimFs};
use plugpull::{
    RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, WriteRun,
};
use tokio::sync::Mutex;

use super::home::{HOMES, home};
use super::process::{Fill, PHASES, Process};
use super::sizes::{REAL, TINY, options, simulated};
use crate::ballast::Ballast;
use crate::groupwal::{engine_kind, engines, runtime, show_all};
use crate::sim_storage::SimStorage;
use crate::simulated::{draw, drive, vouched_in};

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
