//! The log as its users see it.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::ready;

use tokio::task::coop::poll_proceed;

use crate::ancestors::create_dirs;
use crate::catalog::{self, Catalog};
use crate::directory::Directory;
use crate::engine::{self, Engine, Writer};
use crate::entry::{Encode, checked_len};
use crate::error::{Error, Kind, Result};
use crate::frame::{FrameBuffer, HEADER_BYTES};
use crate::group::{Ask, Group, Limits, Member, Refusal, Room};
use crate::log::Log;
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::names::{LOCK_NAME, Listing};
use crate::options::{Create, Options};
use crate::recovery::{RecoveryReport, recover};
use crate::replay::Replay;
use crate::seq_no::SeqNo;
use crate::storage::{OsStorage, Storage, StorageDir};
use crate::sync::Arc;
use crate::timer::{MemberTimer, Timing};

/// A write-ahead log. Cheap to clone; all clones are the same log.
///
/// Tasks that append at the same time share one write and one sync. See the [crate] for an example.
///
/// Dropping the last clone does not seal the log: call [`close`](Self::close) to do that and to
/// learn of errors. What has been acknowledged is durable either way.
#[derive(Clone)]
pub struct Wal {
    inner: Arc<Inner>,
}

struct Inner {
    group: Arc<Group<Writer>>,
    directory: Arc<Directory>,
    catalog: Arc<Catalog>,
    metrics: Arc<Metrics>,
    recovery: RecoveryReport,
    log_id: [u8; 16],
    timing: Timing,
    entry_bytes_max: usize,
    group_bytes_max: usize,
    /// The largest group's frame, padding included.
    frame_bytes_max: usize,
}

impl Wal {
    /// Opens the log in `dir`, recovers it, or begins a new one there. Missing directories are
    /// created.
    ///
    /// # Errors
    /// - [`Error::is_invalid_options`]: the message names the option.
    /// - [`Error::is_locked`]: another handle or process owns the log, and has not given it up within a
    ///   quarter of a second.
    /// - [`Error::is_corruption`]: acknowledged entries are damaged or missing. The directory is
    ///   untouched.
    /// - [`Error::is_no_log`]: there is none, and [`Options::create`] says that none is to be created.
    /// - An I/O error, if anything cannot be read or made durable. Opening again is safe.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a directory that opens as after a crash; recovery may go on in
    /// the background for a moment, and the log is locked for that long.
    pub async fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_with(Arc::new(OsStorage), dir, options).await
    }

    /// [`open`](Self::open) on a storage of your own.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_with(
        storage: Arc<dyn Storage>,
        dir: impl AsRef<Path>,
        options: Options,
    ) -> Result<Self> {
        options.validate()?;
        let dir: PathBuf = dir.as_ref().to_owned();
        engine::to_open(&options)
            .run(move || Self::open_blocking(storage, &dir, &options))
            .await?
    }

    fn open_blocking(storage: Arc<dyn Storage>, dir: &Path, options: &Options) -> Result<Self> {
        let dir = open_dir(&*storage, dir, options.create)?;
        let directory = Arc::new(Directory::open(storage, dir, options.spare_segments_max)?);
        let recovered = recover(&directory, options)?;
        let report = recovered.report;
        let active = recovered
            .segments
            .last()
            .expect("a log has a segment")
            .segment
            .clone();
        let log_id = active.header.log_id;
        let engine = engine::choose(options, active.raw().is_some())?;
        let catalog = Arc::new(Catalog::new(recovered.segments));
        // A trim that a crash interrupted.
        catalog::trim(&directory, &catalog, report.trim_seq)?;
        let metrics = Arc::new(Metrics::default());
        let position = (recovered.offset, recovered.next_group);
        let log = Log::new(
            directory.clone(),
            catalog.clone(),
            (active, recovered.ready),
            position,
            (report.trim_seq, report.sealed),
            options,
            metrics.clone(),
        );
        let group = Group::new(
            Writer::new(log, engine),
            limits(options),
            report.next_seq,
            report.trim_seq,
        );
        Ok(Self {
            inner: Arc::new(Inner {
                group: Arc::new(group),
                directory,
                catalog,
                metrics,
                recovery: report,
                log_id,
                timing: options.policy.timing(),
                entry_bytes_max: options.entry_bytes_max,
                group_bytes_max: options.group_bytes_max,
                frame_bytes_max: (HEADER_BYTES + options.group_bytes_max)
                    .next_multiple_of(options.block_bytes as usize),
            }),
        })
    }

    /// Makes an entry durable and returns its sequence number.
    ///
    /// If one append returned before another began, it has the lower number.
    ///
    /// # Errors
    /// - [`Error::is_invalid_entry`]: the entry breaks a limit or its own layout. Nobody else is
    ///   disturbed.
    /// - [`Error::is_not_written`]: the entry is certainly not in the log: its group could not be
    ///   written and the log was rolled back (as on a full disk, [`Error::is_disk_full`]; the log
    ///   goes on), or the log is closed, overloaded or poisoned.
    /// - [`Error::is_outcome_unknown`]: the flush failed, the entry may or may not be in the log,
    ///   and the log is poisoned until it is opened again.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time. The entry may or may not end up in the log then; no
    /// other append is lost, delayed or failed.
    ///
    /// # Panics
    /// Under [`SyncPolicy::Batch`](crate::SyncPolicy::Batch) and
    /// [`SyncPolicy::Background`](crate::SyncPolicy::Background) if polled outside a Tokio runtime
    /// with time enabled.
    pub async fn append<E: Encode + ?Sized>(&self, entry: &E) -> Result<SeqNo> {
        Ok(self.append_batch(&[entry]).await?.start)
    }

    /// Makes several entries durable, all or none: they share a frame. Returns their sequence
    /// numbers, which are consecutive.
    ///
    /// # Errors
    /// As for [`append`](Self::append); also [`Error::is_invalid_entry`] if there is no entry at
    /// all, or if all of them together exceed [`Options::group_bytes_max`]. One invalid entry
    /// refuses the batch.
    ///
    /// # Cancel safety
    /// As for [`append`](Self::append).
    ///
    /// # Panics
    /// As [`append`](Self::append).
    pub async fn append_batch<E: Encode>(&self, entries: &[E]) -> Result<Range<SeqNo>> {
        let room = self.measure(entries)?;
        let frame_bytes_max = self.inner.frame_bytes_max;
        let encode = |buffer: &mut FrameBuffer| buffer.push(entries, room.bytes, frame_bytes_max);
        let first = self.join(Ask::Entries, room, encode).await?;
        Ok(first..first + u64::from(room.entries))
    }

    /// Checks entries against the limits and adds up the room they take.
    fn measure<E: Encode>(&self, entries: &[E]) -> Result<Room> {
        let mut room = Room::default();
        for entry in entries {
            let len = checked_len(entry, self.inner.entry_bytes_max)?;
            room.bytes = room.bytes.saturating_add(len);
            room.entries = room.entries.saturating_add(1);
        }
        let refuse = |message| Err(Error::new(Kind::InvalidEntry(message)));
        if room.entries == 0 {
            return refuse("the batch is empty".into());
        }
        let limit = self.inner.group_bytes_max;
        if room.bytes > limit {
            return refuse(format!(
                "the batch takes {} bytes, the limit is {limit} (Options::group_bytes_max)",
                room.bytes
            ));
        }
        Ok(room)
    }

    async fn join(
        &self,
        ask: Ask,
        room: Room,
        encode: impl FnOnce(&mut FrameBuffer) + Unpin,
    ) -> Result<u64> {
        let timer = MemberTimer::new(self.inner.timing);
        let mut member = Member::new(&self.inner.group, ask, room, timer, encode);
        poll_fn(|cx| {
            // An engine that never waits must not keep its task's thread from everybody else's.
            let budget = ready!(poll_proceed(cx));
            let polled = Pin::new(&mut member).poll(cx);
            if polled.is_pending() {
                self.inner.engine().attend();
            } else {
                budget.made_progress();
            }
            polled
        })
        .await
        .map_err(refused)
    }

    /// Every entry below it is durable. It is the sequence number that the next entry gets if
    /// nothing is in flight.
    pub fn durable_seq(&self) -> SeqNo {
        self.inner.group.durable_seq()
    }

    /// The oldest entry that can be replayed: every lower one has been trimmed.
    pub fn trim_seq(&self) -> SeqNo {
        self.inner.group.trim_seq()
    }

    /// The log's identity: drawn at random when the log began, and the same for as long as it exists. What
    /// is kept beside a log stores it, and notices at the next opening that another log is in its place.
    pub fn log_id(&self) -> [u8; 16] {
        self.inner.log_id
    }

    /// What recovery found when the log was opened.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.inner.recovery
    }

    /// Counters since the log was opened.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.metrics.snapshot()
    }

    /// Segment files in use, the spare ones not counted.
    pub fn segment_count(&self) -> usize {
        self.inner.catalog.len()
    }

    /// Reads entries in order from `from` on, durable ones only, while writers go on.
    pub fn replay(&self, from: SeqNo) -> Replay {
        Replay::new(self.inner.group.clone(), self.inner.catalog.clone(), from)
    }

    /// Gives up every entry below `below`: makes that position durable, then removes or recycles
    /// the segments that lie below it as a whole.
    ///
    /// Call it only when whatever the entries describe is durable elsewhere. A position below an
    /// earlier one changes nothing.
    ///
    /// # Errors
    /// - If `below` is above [`durable_seq`](Self::durable_seq).
    /// - As for [`append`](Self::append), if the position cannot be made durable: nothing has been
    ///   removed then, and the entries can still be replayed.
    /// - An I/O error, if files cannot be removed. The entries are trimmed; the next open removes
    ///   the rest.
    /// - [`Error::is_displaced`] if the directory is not the log's any more. The log stops then.
    ///
    /// On a full disk a trim that frees a segment succeeds: a block of each segment is reserved for it. The
    /// log then goes on in the file that it freed.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time: the entries may or may not be trimmed.
    pub async fn trim(&self, below: SeqNo) -> Result<()> {
        let durable = self.durable_seq();
        if below > durable {
            return Err(Error::new(Kind::TrimAhead {
                requested: below,
                durable,
            }));
        }
        self.join(Ask::Trim(below), Room::default(), |_| {}).await?;
        let (directory, catalog) = (self.inner.directory.clone(), self.inner.catalog.clone());
        let trimmed = self
            .inner
            .engine()
            .run(move || catalog::trim(&directory, &catalog, below))
            .await?;
        if let Err(error) = &trimmed
            && error.is_displaced()
        {
            self.inner.group.stop(error.clone());
        }
        trimmed
    }

    /// Lets nobody else in, makes durable what has been let in, and writes a seal, which vouches
    /// for every entry: damage anywhere in a sealed log is found when it is opened.
    ///
    /// Appends that wait for room are refused. Closing a closed log is fine.
    ///
    /// # Errors
    /// If the log is poisoned (it is never sealed then), or the seal fails. Appends that were let in and
    /// cannot be written any more learn it themselves.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time; the log takes no more entries from its first poll on.
    /// Call it again to seal the log.
    pub async fn close(&self) -> Result<()> {
        self.inner.group.begin_closing();
        match self.join(Ask::Barrier, Room::default(), |_| {}).await {
            // Entries that found no room on a full disk: their appends have been told, and the log is whole
            // without them.
            Err(error) if error.is_not_written() && !error.is_poisoned() => {}
            written => {
                written?;
            }
        }
        self.join(Ask::Seal, Room::default(), |_| {}).await?;
        Ok(())
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("path", &self.inner.directory.path)
            .field("durable_seq", &self.durable_seq())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn engine(&self) -> &Arc<dyn Engine> {
        self.group.host().engine()
    }
}

/// Opens the log's directory, and creates it if it may.
fn open_dir(storage: &dyn Storage, path: &Path, create: Create) -> Result<Arc<dyn StorageDir>> {
    if create != Create::Never {
        return create_dirs(storage, path);
    }
    let no_log = || {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Error::new(Kind::NoLog { path })
    };
    let dir = match storage.open_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_log()),
        opened => opened.map_err(|error| Error::io("open", path, error))?,
    };
    // Not even LOCK is created. One that is there may say what is missing.
    let is_empty = Listing::read(&*dir)?.segment_ids.is_empty();
    match dir.identity(LOCK_NAME) {
        Err(error) if is_empty && error.kind() == io::ErrorKind::NotFound => Err(no_log()),
        _ => Ok(dir),
    }
}

fn limits(options: &Options) -> Limits {
    Limits {
        pace: options.policy.pace(),
        bytes: options.group_bytes_max,
        entries: options.policy.group_entries(options.group_entries_max),
        members: options.appends_max,
    }
}

fn refused(refusal: Refusal<Error>) -> Error {
    Error::new(match refusal {
        Refusal::NotWritten(cause) => Kind::NotWritten(cause),
        Refusal::OutcomeUnknown(cause) => Kind::OutcomeUnknown(cause),
        Refusal::Poisoned(cause) => Kind::Poisoned(cause),
        Refusal::Closed => Kind::Closed,
        Refusal::Overloaded => Kind::Overloaded,
    })
}
