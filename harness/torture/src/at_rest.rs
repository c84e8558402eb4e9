//! A log at rest has all its room.

use groupwal::{Error, Wal};
use plugpull::{Recorder, Workload};
use tokio::task::{JoinSet, yield_now};

/// Writers that no workload has.
const CROWD: u32 = 0xffd;
const LAST_WRITER: u32 = 0xfff;
/// More than an entry takes besides its bytes.
const ENTRY_EXTRA_BYTES: usize = 16;
/// The largest number of entries: a group of any policy but the one that makes groups of one takes so many.
const ENTRIES_MAX: u64 = 28;

/// More ids than are used at once.
const IDS: u64 = 1000;

/// When a crowd comes, in the life of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    First,
    Last,
    /// Right before the log is closed.
    Closing,
}

/// Appends, while nothing else is done, as much as a group of `group_bytes` takes, behind one entry that may
/// go alone. Before that, so much is appended at once that most of it waits for room, and some of that is
/// dropped. Nothing is said of a log whose disk fails.
///
/// # Panics
/// If that takes more than two groups: room that was reserved for an append has not been given back.
pub(crate) async fn fill_a_group(
    wal: &Wal,
    workload: &Workload,
    recorder: &Recorder,
    (group_bytes, when): (usize, When),
) {
    crowd(wal, workload, recorder, when).join_all().await;
    let Some(first) = first_id(workload, LAST_WRITER, when) else {
        return;
    };
    // What was dropped on its way is on the disk when this is.
    if append(wal, workload, recorder, first).await.is_err() {
        return;
    }
    let mut ids = vec![first + 1];
    let mut left = group_bytes;
    while (ids.len() as u64) < ENTRIES_MAX {
        let id = first + 1 + ids.len() as u64;
        let Some(rest) = left.checked_sub(workload.payload(id).len() + ENTRY_EXTRA_BYTES) else {
            break;
        };
        left = rest;
        ids.push(id);
    }
    let before = wal.metrics().groups;
    let mut appends = JoinSet::new();
    for id in ids {
        appends.spawn(append(wal, workload, recorder, id));
    }
    let is_whole = appends.join_all().await.iter().all(Result::is_ok);
    let groups = wal.metrics().groups - before;
    assert!(
        !is_whole || groups <= 2,
        "a log at rest takes {groups} groups for what fits one and an entry before it: room has not been \
         given back"
    );
}

/// Appends so much at once that most of it waits for room, unless entries are tiny, and drops some of that.
pub(crate) fn crowd(
    wal: &Wal,
    workload: &Workload,
    recorder: &Recorder,
    when: When,
) -> JoinSet<()> {
    let mut appends = JoinSet::new();
    let first = first_id(workload, CROWD, when);
    for id in first
        .into_iter()
        .flat_map(|first| first..first + ENTRIES_MAX)
    {
        let appended = append(wal, workload, recorder, id);
        let luck = workload.key(id);
        appends.spawn(async move {
            let is_dropped = luck.is_multiple_of(3);
            tokio::select! {
                biased;
                () = pass(luck), if is_dropped => {}
                _ = appended => {}
            }
        });
    }
    appends
}

/// The first of a writer's ids. Each time other ids: each is tried once.
fn first_id(workload: &Workload, writer: u32, when: When) -> Option<u64> {
    let action = workload.actions(writer).next();
    action.map(|action| action.id + when as u64 * IDS)
}

/// Appends an entry as bytes, and records its outcome.
fn append(
    wal: &Wal,
    workload: &Workload,
    recorder: &Recorder,
    id: u64,
) -> impl Future<Output = Result<u64, Error>> + Send + use<> {
    let (wal, payload, recorder) = (wal.clone(), workload.payload(id), recorder.clone());
    async move {
        recorder.attempt(id);
        let appended = wal.append(&payload[..]).await;
        match &appended {
            Ok(seq) => recorder.ack(id, *seq),
            Err(error) if error.is_not_written() => recorder.refused(id),
            Err(_) => recorder.failed(id),
        }
        appended
    }
}

/// Lets others go first.
async fn pass(turns: u64) {
    for _ in 0..turns {
        yield_now().await;
    }
}
