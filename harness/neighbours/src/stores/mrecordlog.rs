//! mrecordlog, Quickwit's log of several queues; one queue here. It syncs with each append.
//!
//! Promise: `SyncPolicy::OnAppend`, the default, is "Sync and flush at each operation"; README: "be durable, offer some
//! flexibility on `fsync` strategies" (<https://docs.rs/mrecordlog/0.4>).
//!
//! Weak mode: `SyncPolicy::OnDelay`: "if no new operation arrive, some content may not get flushed for a while".

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use mrecordlog::{MultiRecordLog, SyncPolicy};
use plugpull::SubjectError;
use tokio::runtime::Runtime;

use crate::creation;
use crate::log::Log;
use crate::neighbour::Neighbour;
use crate::turns::{into_inner, lock, runtime};

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![
        Neighbour::log("mrecordlog", |dir| Store::open(dir, SyncPolicy::OnAppend)).created_aside(),
        Neighbour::log("mrecordlog-delayed", |dir| {
            Store::open(dir, SyncPolicy::OnDelay(Duration::from_secs(5)))
        })
        .created_aside()
        .weak("appends stay in the process until a sync is due"),
        Neighbour::log("mrecordlog-created-in-place", |dir| {
            Store::open(dir, SyncPolicy::OnAppend)
        })
        .weak(creation::IN_PLACE),
    ]
}

const QUEUE: &str = "entries";

struct Store {
    log: Mutex<MultiRecordLog>,
    runtime: Runtime,
}

impl Store {
    fn open(dir: &Path, policy: SyncPolicy) -> Result<Self, SubjectError> {
        let runtime = runtime()?;
        let log = runtime.block_on(async {
            let mut log = MultiRecordLog::open_with_prefs(dir, policy).await?;
            if !log.queue_exists(QUEUE) {
                log.create_queue(QUEUE).await?;
            }
            Ok::<_, SubjectError>(log)
        })?;
        Ok(Self {
            log: Mutex::new(log),
            runtime,
        })
    }
}

impl Log for Store {
    fn close(self) -> Result<(), SubjectError> {
        Ok(self.runtime.block_on(into_inner(self.log).sync())?)
    }

    fn append(&self, payload: &[u8]) -> Result<(), SubjectError> {
        let mut log = lock(&self.log);
        self.runtime
            .block_on(log.append_record(QUEUE, None, payload))?;
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), SubjectError> {
        let log = lock(&self.log);
        for (_, payload) in log.range(QUEUE, ..).map_err(|missing| missing.0)? {
            visit(&payload);
        }
        Ok(())
    }
}
