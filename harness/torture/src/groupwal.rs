//! groupwal as a subject, on segments so small that rotation, trim and recycling happen all the
//! time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use groupwal::{EngineKind, Error, Options, Record, SyncPolicy, Wal};
use plugpull::{
    Recorder, RecoverRun, Simulated, Subject, SubjectError, Survivors, Workload, WriteRun,
};
use tokio::task::JoinSet;

use crate::act::{ENTRY_BYTES_MAX, act, payload_of};
use crate::acted::Acted;
use crate::batch::{append_batch, batch_of};
use crate::doomed::Doomed;

/// A log under one policy.
#[derive(Debug)]
pub struct GroupWal {
    name: &'static str,
    pub(crate) policy: SyncPolicy,
}

impl GroupWal {
    /// `name` is the subject's on the command line.
    pub fn new(name: &'static str, policy: SyncPolicy) -> Self {
        Self { name, policy }
    }

    fn options(&self, engine: &str, small_files: bool) -> Options {
        Options::default()
            .policy(self.policy)
            .engine(engine_kind(engine))
            .segment_bytes(if small_files { 32 << 10 } else { 128 << 10 })
            .entry_bytes_max(ENTRY_BYTES_MAX)
            .group_bytes_max(if small_files { 16 << 10 } else { 48 << 10 })
    }

    async fn open(&self, dir: &Path, engine: &str, small_files: bool) -> Result<Wal, Error> {
        Wal::open(dir, self.options(engine, small_files)).await
    }
}

impl Subject for GroupWal {
    fn name(&self) -> &str {
        self.name
    }

    fn constructor(&self) -> String {
        let (name, policy) = (self.name, self.policy);
        let policy = match policy {
            SyncPolicy::Background { interval } => format!(
                "Background {{ interval: std::time::Duration::from_millis({}) }}",
                interval.as_millis()
            ),
            SyncPolicy::Batch {
                max_entries,
                max_delay,
            } => format!(
                "Batch {{ max_entries: {max_entries}, \
                 max_delay: std::time::Duration::from_millis({}) }}",
                max_delay.as_millis()
            ),
            other => format!("{other:?}"),
        };
        format!("torture::GroupWal::new({name:?}, groupwal::SyncPolicy::{policy})")
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
        runtime()?.block_on(async {
            let wal = self
                .open(run.dir, run.engine, run.workload.small_files)
                .await?;
            let mut writers = JoinSet::new();
            let mut others = JoinSet::new();
            if let Some(doomed) = Doomed::begin(&wal, run.workload, run.recorder)? {
                writers.spawn(doomed.go());
            }
            let acked = Arc::new(AtomicU64::new(0));
            for writer in 0..run.workload.writers {
                let (wal, workload) = (wal.clone(), run.workload.clone());
                let (recorder, acked) = (run.recorder.clone(), acked.clone());
                writers.spawn(carry_out(wal, workload, writer, recorder, acked));
            }
            if let Some(every) = run.workload.trim_every {
                others.spawn(trim_now_and_then(
                    wal.clone(),
                    every,
                    run.recorder.clone(),
                    acked,
                ));
            }
            if run.workload.replays {
                others.spawn(replay_for_ever(wal.clone(), run.recorder.clone()));
            }
            loop {
                // The others end by an error only.
                let ended = tokio::select! {
                    ended = writers.join_next() => ended,
                    Some(ended) = others.join_next() => Some(ended),
                };
                match ended {
                    Some(ended) => ended??,
                    None => return Ok(()),
                }
            }
        })
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        runtime()?.block_on(async {
            let wal = self.open(run.dir, run.engine, false).await?;
            show_all(&wal, survivors).await?;
            if run.close {
                wal.close().await?;
            }
            Ok(())
        })
    }
}

/// The engines that this machine has, by the names that subjects call them.
pub(crate) fn engines() -> &'static [&'static str] {
    if EngineKind::Uring.is_available() {
        &["blocking", "inline", "uring"]
    } else {
        &["blocking", "inline"]
    }
}

/// The engine that a subject calls by this name.
pub(crate) fn engine_kind(engine: &str) -> EngineKind {
    match engine {
        "inline" => EngineKind::Inline,
        "uring" => EngineKind::Uring,
        _ => EngineKind::Blocking,
    }
}

/// Reports every entry of the log.
pub(crate) async fn show_all(wal: &Wal, survivors: &mut Survivors<'_>) -> Result<(), Error> {
    let mut replay = wal.replay(wal.trim_seq());
    while let Some(record) = replay.next().await? {
        survivors.push(record.seq, &payload_of(&record.entry));
    }
    if wal.recovery().sealed {
        survivors.closed();
    }
    Ok(())
}

pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// One writer: appends, cancels and provokes as its workload says.
async fn carry_out(
    wal: Wal,
    workload: Workload,
    writer: u32,
    recorder: Recorder,
    acked: Arc<AtomicU64>,
) -> Result<(), Error> {
    let mut actions = workload.actions(writer);
    while let Some(action) = actions.next() {
        if let Some(pause) = action.pause {
            tokio::time::sleep(pause).await;
        }
        let outcome = match batch_of(&workload, &action, &mut actions) {
            Some(ids) => append_batch(&wal, &workload, &ids, &recorder).await?,
            None => act(&wal, &workload, &action, &recorder).await?,
        };
        if let Acted::At(seq) = outcome {
            acked.fetch_max(seq + 1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Gives up the older half of the log, again and again.
async fn trim_now_and_then(
    wal: Wal,
    every: u32,
    recorder: Recorder,
    acked: Arc<AtomicU64>,
) -> Result<(), Error> {
    loop {
        tokio::time::sleep(std::time::Duration::from_micros(500)).await;
        let below = acked
            .load(Ordering::Relaxed)
            .saturating_sub(u64::from(every) / 2);
        if below >= wal.trim_seq() + u64::from(every) {
            recorder.trim_begin(below);
            wal.trim(below).await?;
            recorder.trim_end(below);
        }
    }
}

/// Reads the log while it is being written, from its middle on; what it has seen may not be lost.
async fn replay_for_ever(wal: Wal, recorder: Recorder) -> Result<(), Error> {
    let middle = |wal: &Wal| wal.trim_seq().midpoint(wal.durable_seq());
    let mut next = middle(&wal);
    let mut replay = wal.replay(next);
    loop {
        match replay.next().await {
            Ok(Some(record)) => {
                note_next(&recorder, &record, next);
                next += 1;
            }
            Ok(None) => tokio::time::sleep(std::time::Duration::from_micros(200)).await,
            Err(error) if error.is_trimmed() => {
                next = middle(&wal);
                replay = wal.replay(next);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Notes that a reader of the running log was shown the entry that comes next.
///
/// # Panics
/// If it is another one.
pub(crate) fn note_next(recorder: &Recorder, record: &Record, next: u64) {
    assert_eq!(
        record.seq, next,
        "a replay does not go on with the next entry"
    );
    let payload = payload_of(&record.entry);
    let id = plugpull::workload::id_of(&payload).unwrap_or(u64::MAX);
    recorder.shown(id, record.seq);
}
