//! The collection on the simulated file system, without its server.

use std::path::Path;
use std::sync::Arc;

use collection::{Blocking, Collection, Config, Error, Metric, Options};
use groupwal::EngineKind;
use plugpull::sim::SimFs;
use plugpull::{
    Recorder, SimRecoverRun, SimWriteRun, Simulated, SubjectError, Survivors, Workload,
};
use tokio::task::{JoinSet, yield_now};

use crate::access::{Access, HITS_MAX};
use crate::act::{act, look, show_all};
use crate::documents::Layout;
use crate::subject::VectorCollection;
use torture::{SimStorage, SoonHere, draw, drive};

/// Room for the payloads of tiny workloads.
const LAYOUT: Layout = Layout {
    payload_bytes_max: 1400,
};

/// Two inserts fill memory, and a few of them a file of the log.
fn options(engine: &str) -> Options {
    let log = groupwal::Options::default()
        .block_bytes(512)
        .segment_bytes(20 << 10);
    Options {
        log: match engine {
            "inline" => log.engine(EngineKind::Inline),
            _ => log
                .engine(EngineKind::Blocking)
                .executor(Arc::new(SoonHere::default())),
        },
        memory_bytes_max: 6 << 10,
        operation_bytes_max: 4 << 10,
        hits_max: HITS_MAX as usize,
        merge_width: 2,
        blocking: Blocking::Inline,
        ..Options::default()
    }
}

async fn open(fs: &SimFs, dir: &Path, engine: &str) -> Result<Arc<Collection>, Error> {
    let config = Config {
        dimension: LAYOUT.dimension(),
        metric: Metric::L2,
    };
    let storage = Arc::new(SimStorage(fs.clone()));
    let opened = Collection::open_with(storage, dir, Some(config), options(engine)).await;
    Ok(Arc::new(opened?))
}

impl Simulated for VectorCollection {
    /// There is no ring under a simulated disk.
    fn runs(&self, engine: &str) -> bool {
        engine != "uring"
    }

    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        drive(async {
            let collection = open(run.fs, run.dir, run.engine).await?;
            let mut writers = JoinSet::new();
            for writer in 0..run.workload.writers {
                let (workload, recorder) = (run.workload.clone(), run.recorder.clone());
                let access = Access::Local(Arc::clone(&collection));
                writers.spawn(carry_out(access, workload, writer, recorder));
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
            let collection = open(run.fs, run.dir, run.engine).await?;
            show_all(&Access::Local(Arc::clone(&collection)), LAYOUT, survivors).await?;
            if run.close {
                collection.close().await?;
            }
            Ok(())
        })
    }
}

/// One writer. The first one flushes, all of them search if the workload says so.
async fn carry_out(
    access: Access,
    workload: Workload,
    writer: u32,
    recorder: Recorder,
) -> Result<(), SubjectError> {
    for action in workload.actions(writer) {
        if let Some(pause) = action.pause {
            tokio::time::sleep(pause).await;
        }
        let drawn = draw(workload.seed, action.id);
        for _ in 0..drawn % 4 {
            yield_now().await;
        }
        if act(&access, LAYOUT, &workload, &action, &recorder).await? {
            let every = u64::from(workload.trim_every.unwrap_or(u32::MAX));
            if writer == 0 && (drawn >> 2).is_multiple_of(every.div_ceil(2)) {
                access.flush().await?;
            }
            if workload.replays && drawn.is_multiple_of(3) {
                look(&access, LAYOUT, &recorder).await?;
            }
        }
    }
    Ok(())
}
