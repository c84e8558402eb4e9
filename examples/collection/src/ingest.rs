//! Takes operations from the log into memory, in order, and moves them on into segments.
//!
//! One task does it all, so nothing here races: it is the only one that changes the [`View`] and the
//! manifest. It *follows the log*: it reads what the log shows to be durable, so no search can see, and no
//! flush can cover, what a crash takes back; and whatever is in the log is taken in, also if the request
//! that put it there was given up.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use groupwal::{Entry, Op, Record, Replay};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::error::{Error, Kind, Result};
use crate::log::LOG;
use crate::manifest::Manifest;
use crate::memory::{Memory, Operation};
use crate::merge;
use crate::options::AcceptLog;
use crate::publish::Publisher;
use crate::segment::{Segment, SegmentInfo, SegmentWriter};
use crate::view::{HaltOnPanic, Shared, View};

/// Operations that are made visible together, at most: in number, in rows, in bytes.
const BATCH_MAX: usize = 1024;
const BATCH_ROWS_MAX: usize = 8192;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A flush that failed, as on a full disk, is tried again so often.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// What the task is asked for.
pub(crate) enum Command {
    /// Flush everything that is durable now; answer with the position.
    Flush(oneshot::Sender<Result<u64>>),
}

/// The task's own.
pub(crate) struct Ingestion {
    shared: Arc<Shared>,
    replay: Replay,
    publisher: Publisher,
    /// Operations that the log has lost were passed over, as was asked for.
    has_skipped: bool,
    merging: Option<Merging>,
    /// A flush has failed, and this is when it is tried again.
    retry_at: Option<Instant>,
}

/// A merge that goes on beside everything else.
struct Merging {
    id: u64,
    inputs: Vec<u64>,
    task: JoinHandle<Result<Option<Segment>>>,
}

/// What a merge has come to.
struct Merged {
    id: u64,
    inputs: Vec<u64>,
    outcome: Result<Option<Segment>>,
}

impl Ingestion {
    pub(crate) fn new(shared: Arc<Shared>, manifest: Manifest) -> Self {
        Self {
            replay: shared.wal.replay(manifest.position),
            publisher: Publisher::new(Arc::clone(&shared), manifest),
            shared,
            has_skipped: false,
            merging: None,
            retry_at: None,
        }
    }

    /// Takes in what is durable when the collection is opened.
    pub(crate) async fn recover(&mut self) -> Result<()> {
        self.catch_up().await?;
        if self.has_skipped {
            // So that the loss is accepted once: the manifest's position is behind it then.
            self.flush_all().await?;
        }
        Ok(())
    }

    /// Follows the log until nobody sends commands any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let _guard = HaltOnPanic(Arc::clone(&self.shared));
        loop {
            let caught_up = self.catch_up().await;
            if let Err(error) = caught_up {
                // What is in memory and in segments can still be searched.
                let halted = Error::new(Kind::Halted(error));
                self.shared
                    .progress
                    .send_modify(|progress| progress.halted = Some(halted.clone()));
                while let Some(Command::Flush(answer)) = commands.recv().await {
                    drop(answer.send(Err(halted.clone())));
                }
                return;
            }
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Flush(answer)) => {
                        let flushed = self.flush_all().await;
                        // Whoever asked may be gone.
                        drop(answer.send(flushed));
                    }
                    None => break,
                },
                merged = ended(&mut self.merging) => self.adopt(merged).await,
                () = self.shared.appended.notified() => {}
                () = until(self.retry_at) => {
                    // If it fails again, its error is in the progress.
                    drop(self.flush().await);
                }
            }
        }
        if let Some(merging) = self.merging.take() {
            self.shared.stop.store(true, Ordering::Relaxed);
            // It ends at its next row. What it has written is no longer wanted, nor is its error.
            drop(merging.task.await);
        }
    }

    /// Takes in what is durable now, unless memory is full and cannot be flushed.
    ///
    /// # Errors
    /// If the log cannot be read, or holds what no request can have put there.
    async fn catch_up(&mut self) -> Result<()> {
        let target = self.shared.wal.durable_seq();
        loop {
            let (visible, bytes) = {
                let view = self.shared.view.read().await;
                (view.visible, view.memory.bytes())
            };
            if bytes >= self.shared.options.memory_bytes_max && !self.make_room().await {
                // It is tried again after a while, if that can help.
                return Ok(());
            }
            if visible >= target {
                return Ok(());
            }
            let (batch, end) = self.read_batch(visible).await?;
            if end == visible {
                return Ok(());
            }
            let mut view = self.shared.view.write().await;
            view.visible = end;
            for operation in batch {
                view.memory.apply(operation);
            }
            let visible = view.visible;
            drop(view);
            self.shared
                .progress
                .send_modify(|progress| progress.visible = visible);
        }
    }

    /// Flushes memory that is full; whether that has helped. A flush that has just failed is not tried again
    /// before its time.
    async fn make_room(&mut self) -> bool {
        if self.retry_at.is_none() && !self.publisher.has_stopped() {
            // Its error is in the progress. It may have made room, and failed at the trim.
            drop(self.flush().await);
            if self.shared.view.read().await.memory.len() == 0 {
                return true;
            }
        }
        self.shared.progress.send_modify(|progress| {
            let error = progress.flush_error.clone();
            let error = error.unwrap_or_else(|| Error::new(Kind::Closed));
            progress.stalled = Some(Error::new(Kind::Stalled(error)));
        });
        false
    }

    /// A few of the operations from `next` on, at least one of them, and where they end.
    async fn read_batch(&mut self, next: u64) -> Result<(Vec<Operation>, u64)> {
        let mut batch = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while batch.len() < BATCH_MAX && rows < BATCH_ROWS_MAX && bytes < BATCH_BYTES_MAX {
            let end = next + batch.len() as u64;
            let record = match self.replay.next().await {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => match error.lost_entries() {
                    // The next time they are the first.
                    Some(lost) if !batch.is_empty() => {
                        self.replay = self.shared.wal.replay(lost.start);
                        break;
                    }
                    Some(lost) if self.shared.options.accept_log == AcceptLog::Other => {
                        self.has_skipped = true;
                        self.replay = self.shared.wal.replay(lost.end);
                        return Ok((batch, lost.end));
                    }
                    Some(_) => return Err(Error::new(Kind::LogHole(error))),
                    None => return Err(error.into()),
                },
            };
            assert_eq!(record.seq, end, "the log has no gaps");
            let operation = decode(&record, self.shared.config.dimension as usize)
                .map_err(|detail| Error::corrupt(&self.shared.dir.path().join(LOG), detail))?;
            rows += operation.rows();
            bytes += operation.bytes();
            batch.push(operation);
        }
        let end = next + batch.len() as u64;
        Ok((batch, end))
    }

    /// Takes in and flushes everything that is durable now.
    async fn flush_all(&mut self) -> Result<u64> {
        let target = self.shared.wal.durable_seq();
        loop {
            self.catch_up().await?;
            let position = self.flush().await?;
            // Memory that was full has room now.
            if position >= target {
                return Ok(position);
            }
        }
    }

    /// Moves what is in memory into a segment, and trims the log. Returns the position.
    ///
    /// The order is everything: the segment is durable before the manifest names it, and the manifest is
    /// durable before the log gives up what it covers.
    async fn flush(&mut self) -> Result<u64> {
        let flushed = self.try_flush().await;
        let error = flushed.as_ref().err().cloned();
        let again = error.is_some() && !self.publisher.has_stopped();
        self.retry_at = again.then(|| Instant::now() + RETRY_INTERVAL);
        let flushed_to = self.publisher.manifest().position;
        self.shared.progress.send_modify(|progress| {
            progress.flushed = flushed_to;
            if error.is_none() {
                progress.stalled = None;
            }
            progress.flush_error = error;
        });
        if flushed.is_ok() {
            self.merge_if_due().await;
        }
        flushed
    }

    async fn try_flush(&mut self) -> Result<u64> {
        self.publisher.check()?;
        let position = self.shared.view.read().await.visible;
        if position > self.publisher.manifest().position {
            let segment = self.write_segment().await?;
            let mut manifest = self.publisher.manifest().clone();
            manifest.position = position;
            manifest.segments.extend(segment.as_ref().map(|s| s.info));
            let show = |view: &mut View| {
                view.memory = Memory::new(view.memory.dimension());
                view.segments = view
                    .segments
                    .iter()
                    .cloned()
                    .chain(segment.map(Arc::new))
                    .collect();
            };
            self.publisher.publish(manifest, show).await?;
        }
        let flushed = self.publisher.manifest().position;
        // Also if there was nothing to flush: an earlier trim may have failed.
        if self.shared.wal.trim_seq() < flushed {
            self.shared.wal.trim(flushed).await?;
        }
        Ok(flushed)
    }

    /// Writes what is in memory into a segment, durably. `None` if no segment is needed for it.
    async fn write_segment(&mut self) -> Result<Option<Segment>> {
        {
            let view = self.shared.view.read().await;
            // Removals hide what is older; there is nothing older.
            let only_removals = view.segments.is_empty() && !view.memory.has_vectors();
            if view.memory.len() == 0 || only_removals {
                return Ok(None);
            }
        }
        let id = self.publisher.reserve_segment().await?;
        // The same view: only this task changes it.
        let view = Arc::clone(&self.shared.view).read_owned().await;
        let dir = Arc::clone(&self.shared.dir);
        let write = move || {
            let mut writer = SegmentWriter::create(&*dir, id, view.memory.dimension())?;
            if let Err(error) = view.memory.rows().try_for_each(|row| writer.push(row)) {
                writer.discard(&*dir);
                return Err(error);
            }
            merge::finish(&*dir, writer)
        };
        let written = self.shared.options.blocking.run(write).await;
        let written = written.inspect_err(|error| self.publisher.note_failed(id, error));
        written.map(Some)
    }

    /// Begins to merge segments, if there are enough of a size and no merge is going on.
    async fn merge_if_due(&mut self) {
        if self.merging.is_some() || self.publisher.has_stopped() {
            return;
        }
        let width = self.shared.options.merge_width;
        let Some(range) = merge::choose(&self.publisher.manifest().segments, width) else {
            return;
        };
        let keep_removals = range.start > 0;
        let inputs = self.publisher.manifest().segments[range].iter();
        let inputs: Vec<u64> = inputs.map(|info| info.id).collect();
        let id = match self.publisher.reserve_segment().await {
            Ok(id) => id,
            Err(error) => return self.note_merge_failed(error),
        };
        let (shared, wanted) = (Arc::clone(&self.shared), inputs.clone());
        let task = tokio::spawn(async move {
            let all = Arc::clone(&shared.view.read().await.segments);
            let is_wanted = |segment: &&Arc<Segment>| wanted.contains(&segment.info.id);
            let segments: Vec<_> = all.iter().filter(is_wanted).cloned().collect();
            let blocking = shared.options.blocking;
            let merge = move || {
                merge::merge(
                    &*shared.dir,
                    &segments,
                    id,
                    shared.config.dimension as usize,
                    keep_removals,
                    &shared.stop,
                )
            };
            blocking.run(merge).await
        });
        self.merging = Some(Merging { id, inputs, task });
    }

    /// Puts a merged segment in place of those that it was made from, durably, then removes them.
    async fn adopt(&mut self, merged: Merged) {
        if let Err(error) = self.try_adopt(merged).await {
            self.note_merge_failed(error);
            return;
        }
        self.merge_if_due().await;
    }

    fn note_merge_failed(&self, error: Error) {
        self.shared
            .progress
            .send_modify(|progress| progress.flush_error = Some(error));
    }

    async fn try_adopt(&mut self, merged: Merged) -> Result<()> {
        let Merged {
            id,
            inputs,
            outcome,
        } = merged;
        let merged = outcome.inspect_err(|error| self.publisher.note_failed(id, error))?;
        let merged = merged.map(Arc::new);
        let is_input = |info: &SegmentInfo| inputs.contains(&info.id);
        let mut manifest = self.publisher.manifest().clone();
        let place = manifest.segments.iter().position(is_input);
        let place = place.expect("only merges take segments away");
        let range = place..place + inputs.len();
        let info = merged.as_ref().map(|segment| segment.info);
        manifest.segments.splice(range.clone(), info);
        let before = Arc::clone(&self.shared.view.read().await.segments);
        let show = |view: &mut View| {
            let mut segments = view.segments.to_vec();
            segments.splice(range.clone(), merged.clone());
            view.segments = segments.into();
        };
        let published = self.publisher.publish(manifest, show).await;
        let unwanted: Vec<Arc<Segment>> = match &published {
            Ok(()) => before[range].to_vec(),
            // Nobody knows which of the manifests is in force.
            Err(_) if self.publisher.has_stopped() => Vec::new(),
            Err(_) => merged.into_iter().collect(),
        };
        let shared = Arc::clone(&self.shared);
        let remove = move || {
            let unwanted = unwanted.iter();
            unwanted.for_each(|segment| segment.remove(&*shared.dir));
            Ok(())
        };
        self.shared.options.blocking.run(remove).await?;
        published
    }
}

/// That time; never, if there is none.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// The end of the merge that goes on; never, if none does.
async fn ended(merging: &mut Option<Merging>) -> Merged {
    let Some(Merging { task, .. }) = merging else {
        return pending().await;
    };
    let outcome = match task.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::new(Kind::Closed)),
    };
    let Merging { id, inputs, .. } = merging.take().expect("it was just looked at");
    Merged {
        id,
        inputs,
        outcome,
    }
}

/// An operation from its entry. What no request can have put there is said, not skipped.
fn decode(record: &Record, dimension: usize) -> Result<Operation, String> {
    let Entry::Documents(documents) = record.entry else {
        return Err(format!("entry {} is no operation on documents", record.seq));
    };
    let docs: Vec<u128> = documents.doc_ids().collect();
    let users = documents.user_ids().collect();
    if documents.op() == Op::Delete {
        return Ok(Operation::Remove { docs, users });
    }
    let vectors: Box<[f32]> = documents.vectors().collect();
    if docs.len().checked_mul(dimension) != Some(vectors.len()) {
        return Err(format!(
            "entry {} holds {} numbers for {} documents of dimension {dimension}",
            record.seq,
            vectors.len(),
            docs.len()
        ));
    }
    Ok(Operation::Insert {
        docs,
        users,
        vectors,
    })
}
