//! The article's three approaches, as it publishes them: the baseline.
//!
//! Nothing is improved here, so that the comparison is with the article and not with an idea of
//! it. What all three have in common:
//!
//! - The log is one file, opened to append, that *grows*: each sync commits a new length to the
//!   file system's journal.
//! - An entry is encoded field by field with one `write_all` each, unbuffered: seven system calls.
//! - Files are written and synced on the Tokio worker itself.
//!
//! Their log has no checksums, and errors are not handled; neither is measured.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock, oneshot, watch};

use super::workload::{Document, Store};

/// The article's tick.
pub(crate) const SYNC_BACKGROUND: Duration = Duration::from_millis(100);
/// The article's write group: so many followers, the leader not counted, and its timeout.
pub(crate) const SYNC_ON_BATCH: (usize, Duration) = (940, Duration::from_millis(10));

const OP_INSERT: u8 = 0;

fn open(dir: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    options.open(dir.join("wal")).expect("the file opens")
}

/// The little-endian bytes of a field. The article reinterprets its slices instead; a copy of half
/// a kilobyte is nothing beside the system call that follows.
fn bytes<T: Copy, const N: usize>(values: &[T], to_le_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * N];
    let (chunks, _) = bytes.as_chunks_mut();
    for (chunk, value) in chunks.iter_mut().zip(values) {
        *chunk = to_le_bytes(*value);
    }
    bytes
}

fn append(file: &mut File, doc_ids: &[u128], user_ids: &[u128], data: &[f32]) -> io::Result<()> {
    let ids_len = 16 * (doc_ids.len() + user_ids.len());
    let len = u32::try_from(8 + 8 + ids_len + 4 * data.len() + 1).expect("a small entry");
    file.write_all(&len.to_le_bytes())?;
    file.write_all(&(doc_ids.len() as u64).to_le_bytes())?;
    file.write_all(&(user_ids.len() as u64).to_le_bytes())?;
    file.write_all(&bytes(doc_ids, u128::to_le_bytes))?;
    file.write_all(&bytes(user_ids, u128::to_le_bytes))?;
    file.write_all(&bytes(data, f32::to_le_bytes))?;
    file.write_all(&OP_INSERT.to_le_bytes())?;
    file.flush()
}

fn append_document(file: &mut File, document: &Document) {
    let Document {
        doc_ids,
        user_ids,
        vector,
    } = document;
    append(file, doc_ids, user_ids, *vector).expect("the write succeeds");
}

/// *Sync-on-write*: a lock around write and sync.
pub(crate) struct SyncOnWrite {
    file: Mutex<File>,
}

impl SyncOnWrite {
    pub(crate) fn open(dir: &Path) -> Self {
        Self {
            file: Mutex::new(open(dir)),
        }
    }
}

impl Store for SyncOnWrite {
    async fn insert(&self, document: Document) {
        let mut file = self.file.lock().await;
        append_document(&mut file, &document);
        file.sync_data().expect("the sync succeeds");
    }
}

/// *Sync-background*: a thread syncs at each tick, and appends wait until it has reached them.
pub(crate) struct SyncBackground {
    /// The file, and the number of entries written.
    log: Mutex<(File, watch::Sender<u64>)>,
    synced: watch::Receiver<u64>,
    /// Dropped with the store, which ends the thread.
    _running: mpsc::Sender<()>,
}

impl SyncBackground {
    pub(crate) fn open(dir: &Path, interval: Duration) -> Self {
        let file = open(dir);
        let syncing = file.try_clone().expect("the descriptor can be cloned");
        let (written_sender, written) = watch::channel(0);
        let (synced_sender, synced) = watch::channel(0);
        let (running, stop) = mpsc::channel();
        thread::spawn(move || {
            while stop.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Read before the sync: what is written during it waits for the next tick.
                let reached = *written.borrow();
                if reached > *synced_sender.borrow() {
                    syncing.sync_data().expect("the sync succeeds");
                    synced_sender.send_replace(reached);
                }
            }
        });
        Self {
            log: Mutex::new((file, written_sender)),
            synced,
            _running: running,
        }
    }
}

impl Store for SyncBackground {
    async fn insert(&self, document: Document) {
        let own = {
            let mut log = self.log.lock().await;
            let (file, written) = &mut *log;
            append_document(file, &document);
            written.send_modify(|count| *count += 1);
            *written.borrow()
        };
        let mut synced = self.synced.clone();
        let reached = synced.wait_for(|reached| *reached >= own).await;
        reached.expect("the thread lives as long as the store");
    }
}

/// *Sync-on-batch*: the write group.
///
/// An append that finds the forming group full leads it: it writes every follower's entry and its
/// own, syncs once, and answers each follower on its channel. The others become followers. If a
/// group does not fill in time, its first follower leads whatever group is forming by then.
pub(crate) struct SyncOnBatch {
    forming: Mutex<Vec<Follower>>,
    log: RwLock<Log>,
    followers_max: usize,
    timeout: Duration,
}

struct Follower {
    entry: Arguments,
    answer: oneshot::Sender<u64>,
}

struct Log {
    file: File,
    entries: u64,
}

/// What a follower hands to its leader.
#[derive(Clone)]
struct Arguments {
    doc_ids: Arc<[u128]>,
    user_ids: Arc<[u128]>,
    data: Arc<[f32]>,
}

impl SyncOnBatch {
    pub(crate) fn open(dir: &Path, followers_max: usize, timeout: Duration) -> Self {
        Self {
            forming: Mutex::new(Vec::new()),
            log: RwLock::new(Log {
                file: open(dir),
                entries: 0,
            }),
            followers_max,
            timeout,
        }
    }

    async fn append(&self, entry: &Arguments) -> u64 {
        let mut log = self.log.write().await;
        append(&mut log.file, &entry.doc_ids, &entry.user_ids, &entry.data)
            .expect("the write succeeds");
        log.entries += 1;
        log.entries
    }

    /// Writes and syncs a group and the leader's own entry, and answers the followers.
    async fn lead(&self, group: Vec<Follower>, own: Option<Arguments>) {
        let mut answers = Vec::new();
        for follower in group {
            answers.push((self.append(&follower.entry).await, follower.answer));
        }
        if let Some(own) = own {
            self.append(&own).await;
        }
        let synced = self.log.read().await.file.sync_data();
        synced.expect("the sync succeeds");
        for (seq, answer) in answers {
            answer.send(seq).expect("the follower waits");
        }
    }
}

impl Store for SyncOnBatch {
    async fn insert(&self, document: Document) {
        let entry = Arguments {
            doc_ids: Arc::from(document.doc_ids),
            user_ids: Arc::from(document.user_ids),
            data: Arc::from(*document.vector),
        };
        let mut forming = self.forming.lock().await;
        if forming.len() >= self.followers_max {
            let group = mem::take(&mut *forming);
            drop(forming);
            return self.lead(group, Some(entry)).await;
        }
        let is_first = forming.is_empty();
        let (answer, mut answered) = oneshot::channel();
        forming.push(Follower { entry, answer });
        drop(forming);
        tokio::select! {
            seq = &mut answered => {
                seq.expect("the leader answers");
                return;
            }
            // Every follower arms a timer, though only the first acts on it.
            () = tokio::time::sleep(self.timeout) => {}
        }
        if is_first {
            let group = mem::take(&mut *self.forming.lock().await);
            if !group.is_empty() {
                self.lead(group, None).await;
            }
        }
        answered.await.expect("the leader answers");
    }
}
