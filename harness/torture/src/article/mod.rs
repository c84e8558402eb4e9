//! The article's own design as a subject: an exhibit.
//!
//! It is the write group that `MuopDB`'s authors published in September 2025, with the log under it, in
//! code of our own: nothing is improved and nothing is made worse. What it does wrong follows from the
//! design, and `docs/article.md` tells it hazard by hazard, beside what it does right.
//!
//! - A group is 940 followers and their leader, or what has come in 10 ms. To be full and late in runs
//!   of milliseconds, both are scaled down here (`Scale`), and so are the files; on the simulated disk,
//!   whose clock stands still, the timeout is the published one.
//! - An application is part of it. Each append is a task of its own, as a request to a server is; some
//!   are dropped half-way. An error ends the request it belongs to, and so does a panic, as Tokio has
//!   it; every other process is built to abort on a panic instead. Either way the panic is reported
//!   when the process ends.
//! - The channel by which `MuopDB` passes appended operations on to its index belongs to the database and
//!   is left out, and the log starts from nothing flushed.
//!
//! `benches/insertion/article.rs` has the same group for speed. They are two pieces on purpose: that one
//! is measured, so it has no seam, no rotation, no error to hand on, and borrows its vectors; and groupwal's
//! benches would have to depend on torture, or torture on them, for 60 lines.

mod entry;
mod file;
mod group;
mod log;

use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugpull::sim::{FileSystem, OsFs};
use plugpull::{
    Action, ActionKind, Recorder, RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject,
    SubjectError, Survivors, Workload, WriteRun,
};
use tokio::task::{JoinSet, yield_now};

use self::entry::Entry;
use self::group::WriteGroups;
use self::log::Log;
use crate::act::poll_at_most;
use crate::groupwal::runtime;
use crate::simulated::{draw, drive};

/// The article's write group.
#[derive(Clone, Copy, Debug)]
pub struct Article;

/// The published sizes, made small.
struct Scale {
    followers_max: usize,
    timeout: Duration,
    file_bytes_max: u64,
}

/// An append that has not come to its end after so long never will: it is as if the request hung. A
/// thousand timeouts, and on the simulated disk nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

impl Scale {
    fn of(workload: &Workload) -> Self {
        Self {
            followers_max: if workload.small_files { 2 } else { 31 },
            timeout: Duration::from_millis(2),
            file_bytes_max: if workload.small_files {
                4 << 10
            } else {
                64 << 10
            },
        }
    }

    fn simulated() -> Self {
        Self {
            followers_max: 2,
            timeout: Duration::from_millis(10),
            file_bytes_max: 1 << 10,
        }
    }
}

impl Subject for Article {
    fn name(&self) -> &'static str {
        "article"
    }

    fn constructor(&self) -> String {
        "torture::Article".into()
    }

    fn exhibit(&self) -> Option<&str> {
        Some("the design that groupwal began with; docs/article.md tells what it breaks, and why")
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let scale = Scale::of(run.workload);
        let work = write(Arc::new(OsFs), run.dir, run.workload, run.recorder, scale);
        runtime()?.block_on(work)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover(Arc::new(OsFs), run.dir, survivors)
    }
}

impl Simulated for Article {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let fs = Arc::new(run.fs.clone());
        drive(write(
            fs,
            run.dir,
            run.workload,
            run.recorder,
            Scale::simulated(),
        ))
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        recover(Arc::new(run.fs.clone()), run.dir, survivors)
    }
}

/// Opens the log and shows what is in it. There is nothing to be closed.
fn recover(
    fs: Arc<dyn FileSystem>,
    dir: &Path,
    survivors: &mut Survivors,
) -> Result<(), SubjectError> {
    let log = Log::open(fs, dir, u64::MAX)?;
    log.replay(|number, entry| survivors.push(number.cast_unsigned(), &entry.payload()))?;
    Ok(())
}

/// Opens the log and carries out the workload.
async fn write(
    fs: Arc<dyn FileSystem>,
    dir: &Path,
    workload: &Workload,
    recorder: &Recorder,
    scale: Scale,
) -> Result<(), SubjectError> {
    let log = Log::open(fs, dir, scale.file_bytes_max)?;
    let groups = Arc::new(WriteGroups::new(log, scale.followers_max, scale.timeout));
    let mut writers = JoinSet::new();
    for writer in 0..workload.writers {
        let client = Client {
            groups: groups.clone(),
            workload: workload.clone(),
            recorder: recorder.clone(),
        };
        writers.spawn(client.carry_out(writer));
    }
    let mut first = None;
    while let Some(ended) = writers.join_next().await {
        let panicked = match ended {
            Ok(Ok(panicked)) => panicked,
            Ok(Err(error)) => return Err(error.into()),
            Err(bug) => Some(bug.into_panic()),
        };
        if panicked.is_some() && aborts(workload) {
            first = panicked;
            break;
        }
        first = first.or(panicked);
    }
    match first {
        Some(panicked) => resume_unwind(panicked),
        None => Ok(()),
    }
}

/// Whether this process is one that is built to abort on a panic.
fn aborts(workload: &Workload) -> bool {
    workload.seed % 2 == 1
}

type Panicked = Box<dyn std::any::Any + Send>;

/// One writer of the application.
#[derive(Clone)]
struct Client {
    groups: Arc<WriteGroups>,
    workload: Workload,
    recorder: Recorder,
}

impl Client {
    /// One request after another; the first writer trims now and then. Returns the first panic.
    async fn carry_out(self, writer: u32) -> io::Result<Option<Panicked>> {
        let mut first = None;
        let mut trimmed = 0;
        for action in self.workload.actions(writer) {
            if let Some(pause) = action.pause {
                tokio::time::sleep(pause).await;
            }
            for _ in 0..draw(self.workload.seed, action.id) % 4 {
                yield_now().await;
            }
            let client = self.clone();
            let id = action.id;
            self.recorder.attempt(id);
            let request = tokio::spawn(async move { client.request(&action).await });
            let ended = tokio::time::timeout(PATIENCE, request).await;
            let ended = ended.unwrap_or_else(|_| panic!("an append hangs: nobody leads its group"));
            let acked = match ended {
                Ok(acked) => acked,
                Err(error) => {
                    self.recorder.failed(id);
                    first = first.or(Some(error.into_panic()));
                    if aborts(&self.workload) {
                        break;
                    }
                    None
                }
            };
            let every = self.workload.trim_every.filter(|_| writer == 0);
            if let (Some(every), Some(number)) = (every.map(i64::from), acked) {
                let below = number.saturating_sub(every / 2);
                if below >= trimmed + every {
                    self.trim(below).await?;
                    trimmed = below;
                }
            }
        }
        Ok(first)
    }

    /// One append, to its end or half-way. Returns its number if it was acknowledged.
    async fn request(&self, action: &Action) -> Option<i64> {
        let entry = Entry::of_payload(&self.workload.payload(action.id));
        let append = self.groups.append(entry);
        let outcome = match action.kind {
            // The log has no limits: there is nothing that it refuses.
            ActionKind::Append | ActionKind::Refused => append.await,
            ActionKind::Cancel { polls } => poll_at_most(polls, append).await?,
        };
        if let Ok(number) = outcome {
            self.recorder.ack(action.id, number.cast_unsigned());
            Some(number)
        } else {
            self.recorder.failed(action.id);
            None
        }
    }

    /// Gives up what lies below a number.
    async fn trim(&self, below: i64) -> io::Result<()> {
        self.recorder.trim_begin(below.cast_unsigned());
        self.groups.trim(below - 1).await?;
        self.recorder.trim_end(below.cast_unsigned());
        Ok(())
    }
}
