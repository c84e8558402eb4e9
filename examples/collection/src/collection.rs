//! The collection as its users see it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use groupwal::{Delete, Insert, OsStorage, Storage};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};
use crate::ingest::Command;
use crate::metric::Query;
use crate::options::{Config, DIMENSION_MAX, Options};
use crate::recovery::recover;
use crate::search::{Found, Search, knows};
use crate::view::{Progress, Shared};

/// Flushes asked for at once; others wait.
const COMMANDS_MAX: usize = 16;

/// Documents with vectors, each visible to some users: durable by a log, searched in memory and in
/// segment files.
///
/// An insert or a remove returns when the log has made it durable. A task takes operations from the log
/// into memory, in order; searches see them from then on, each of them whole. [`flush`](Self::flush), and
/// memory that is full, move them into an immutable segment file.
pub struct Collection {
    shared: Arc<Shared>,
    task: Mutex<Option<Task>>,
}

struct Task {
    commands: mpsc::Sender<Command>,
    handle: JoinHandle<()>,
}

/// What a collection holds and has done.
#[derive(Clone, Debug)]
pub struct Stats {
    /// What it is.
    pub config: Config,
    /// Every operation below it is durable.
    pub durable_seq: u64,
    /// Every operation below it is visible.
    pub visible_seq: u64,
    /// Every operation below it is in segment files.
    pub flushed_seq: u64,
    /// Every operation below it is gone from the log.
    pub trimmed_seq: u64,
    /// Id, rows and bytes of the segment files, oldest first.
    pub segments: Vec<(u64, u64, u64)>,
    /// Rows in memory: a document for a user, or its removal.
    pub memory_rows: usize,
    /// What they take, in bytes, as [`Options::memory_bytes_max`] counts it.
    pub memory_bytes: usize,
    /// Groups of entries that the log has made durable since it was opened, with one sync each.
    pub log_groups: u64,
    /// Why the last flush failed or nothing is taken in, if that is so.
    pub flush_error: Option<Error>,
}

impl Collection {
    /// Opens the collection in `dir`, recovers it, or begins a new one there if `config` says what it is
    /// to be. When it returns, everything that had been acknowledged is visible.
    ///
    /// # Errors
    /// - If an option is out of range, or the collection is not what `config` says.
    /// - [`Error::is_locked`]: another process or handle has it open.
    /// - [`Error::is_missing`]: there is no collection, and no `config` was given. Nothing was created.
    /// - [`Error::is_corruption`]: bytes are damaged. Nothing was changed.
    /// - [`Error::is_log_lost`]: its log is missing, or another log is in its place
    ///   ([`Options::accept_log`]). Nothing was created.
    /// - An I/O error. Opening again is safe.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a directory that opens as after a crash.
    pub async fn open(
        dir: impl AsRef<Path>,
        config: Option<Config>,
        options: Options,
    ) -> Result<Self> {
        Self::open_with(Arc::new(OsStorage), dir, config, options).await
    }

    /// [`open`](Self::open) on a storage of your own, which holds the log and everything else.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_with(
        storage: Arc<dyn Storage>,
        dir: impl AsRef<Path>,
        config: Option<Config>,
        options: Options,
    ) -> Result<Self> {
        check_options(config, &options)?;
        let (shared, ingestion) = recover(storage, dir.as_ref(), config, options).await?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let handle = tokio::spawn(ingestion.run(receiver));
        Ok(Self {
            shared,
            task: Mutex::new(Some(Task { commands, handle })),
        })
    }

    /// What it is.
    pub fn config(&self) -> Config {
        self.shared.config
    }

    /// Names in its directory that were not the collection's when it was opened. They are left alone.
    pub fn unknown_files(&self) -> &[String] {
        &self.shared.unknown_files
    }

    /// Makes documents visible to users, in place of what they saw under these ids. Returns the
    /// operation's sequence number when it is durable.
    ///
    /// `vectors` holds one vector after another.
    ///
    /// # Errors
    /// - [`Error::invalid_field`]: nothing was logged.
    /// - [`Error::is_disk_full`], [`Error::is_overloaded`]: it is not durable and may be repeated.
    /// - [`Error::is_outcome_unknown`]: it may or may not become durable.
    /// - [`Error::is_unavailable`]: only a restart helps.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time. The operation may or may not take place then, as a whole.
    pub async fn insert(&self, docs: &[u128], users: &[u128], vectors: &[f32]) -> Result<u64> {
        self.shared.limits.check_insert(docs, users, vectors)?;
        let insert = Insert {
            doc_ids: docs,
            user_ids: users,
            vectors,
        };
        self.wait_for_room().await?;
        let _tell = TellOnDrop(&self.shared.appended);
        Ok(self.shared.wal.append(&insert).await?)
    }

    /// Takes documents away from users. Returns the operation's sequence number when it is durable.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert). A user whom no operation has named is an invalid field; a
    /// document that is not there is no error.
    ///
    /// # Cancel safety
    /// As for [`insert`](Self::insert).
    pub async fn remove(&self, docs: &[u128], users: &[u128]) -> Result<u64> {
        self.shared.limits.check_remove(docs, users)?;
        self.check_known(users).await?;
        let delete = Delete {
            doc_ids: docs,
            user_ids: users,
        };
        self.wait_for_room().await?;
        let _tell = TellOnDrop(&self.shared.appended);
        Ok(self.shared.wal.append(&delete).await?)
    }

    /// The `k` documents nearest to `vector` that the user may see.
    ///
    /// With `seen` it waits until it sees everything up to that operation: give it what an insert
    /// returned to read your own writes.
    ///
    /// # Errors
    /// - [`Error::invalid_field`], also for a user whom no operation has named.
    /// - [`Error::is_corruption`] or an I/O error, if a segment cannot be read.
    /// - If `seen` cannot be seen, because nothing more is taken in.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time.
    pub async fn search(
        &self,
        user: u128,
        vector: &[f32],
        k: usize,
        seen: Option<u64>,
        with_vectors: bool,
    ) -> Result<Found> {
        self.shared.limits.check_search(vector, k)?;
        let durable = self.shared.wal.durable_seq();
        if let Some(seen) = seen {
            if seen >= durable {
                let reason = format!("{seen} is no operation's: those below {durable} are durable");
                return Err(Error::invalid("seen", reason));
            }
            self.wait_until_visible(seen + 1).await?;
        }
        // Closed never: nobody closes the semaphore.
        let _permit = self.shared.searches.acquire().await;
        let search = Arc::new(Search {
            query: Query::new(vector.to_vec(), self.shared.config.metric),
            user,
            k,
            with_vectors,
        });
        if let Some(found) = self.search_now(&search).await? {
            return Ok(found);
        }
        // An acknowledged insert may have named the user and not be visible yet.
        self.wait_until_visible(durable).await?;
        let found = self.search_now(&search).await?;
        found.ok_or_else(|| unknown_user("user_id", user))
    }

    async fn search_now(&self, search: &Arc<Search>) -> Result<Option<Found>> {
        let view = Arc::clone(&self.shared.view).read_owned().await;
        let search = Arc::clone(search);
        let run = move || search.run(view);
        self.shared.options.blocking.run(run).await
    }

    /// Refuses users whom no operation has named.
    async fn check_known(&self, users: &[u128]) -> Result<()> {
        let durable = self.shared.wal.durable_seq();
        let unknown = self.unknown_of(users.to_vec()).await?;
        if unknown.is_empty() {
            return Ok(());
        }
        self.wait_until_visible(durable).await?;
        match self.unknown_of(unknown).await?.first() {
            Some(user) => Err(unknown_user("user_ids", *user)),
            None => Ok(()),
        }
    }

    async fn unknown_of(&self, mut users: Vec<u128>) -> Result<Vec<u128>> {
        let view = Arc::clone(&self.shared.view).read_owned().await;
        users.retain(|user| view.memory.rows_of(*user).next().is_none());
        if users.is_empty() {
            return Ok(users);
        }
        drop(view);
        // Like a search: it reads segments.
        let _permit = self.shared.searches.acquire().await;
        let view = Arc::clone(&self.shared.view).read_owned().await;
        let look = move || {
            let mut unknown = Vec::new();
            for user in users {
                if !knows(&view, user)? {
                    unknown.push(user);
                }
            }
            Ok(unknown)
        };
        self.shared.options.blocking.run(look).await
    }

    /// Moves everything that is durable now from memory into a segment file, and trims the log. Returns
    /// the position below which operations are in segments.
    ///
    /// # Errors
    /// If the segment, the manifest or the trim cannot be made durable. Nothing is lost; on a full disk
    /// it is tried again when there is room.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time. The flush goes on.
    pub async fn flush(&self) -> Result<u64> {
        let commands = self.task().as_ref().map(|task| task.commands.clone());
        let closed = || Error::new(Kind::Closed);
        let (answer, answered) = oneshot::channel();
        let commands = commands.ok_or_else(closed)?;
        let sent = commands.send(Command::Flush(answer)).await;
        sent.map_err(|_| closed())?;
        // Held no longer than the command: the task ends when nobody can send any more.
        drop(commands);
        answered.await.map_err(|_| closed())?
    }

    /// What it holds and has done.
    pub async fn stats(&self) -> Stats {
        let view = self.shared.view.read().await;
        let progress = self.shared.progress.borrow().clone();
        let segments = view.segments.iter().map(|segment| segment.info);
        Stats {
            config: self.shared.config,
            durable_seq: self.shared.wal.durable_seq(),
            visible_seq: view.visible,
            flushed_seq: progress.flushed,
            trimmed_seq: self.shared.wal.trim_seq(),
            segments: segments
                .map(|info| (info.id, info.rows, info.bytes))
                .collect(),
            memory_rows: view.memory.len(),
            memory_bytes: view.memory.bytes(),
            log_groups: self.shared.wal.metrics().groups,
            flush_error: progress.halted.or(progress.flush_error),
        }
    }

    /// Takes nothing more in, and seals the log. What is in memory stays in the log. Searches go on.
    ///
    /// # Errors
    /// If the log is poisoned, or its last flush or its seal fails.
    ///
    /// # Cancel safety
    /// Call it again to wait for the end.
    pub async fn close(&self) -> Result<()> {
        let task = self.task().take();
        if let Some(Task { commands, handle }) = task {
            drop(commands);
            if let Err(error) = handle.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        Ok(self.shared.wal.close().await?)
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<Task>> {
        let locked = self.task.lock();
        locked.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits while too much is durable and not yet visible, so that a log that grows faster than it can
    /// be taken in grows no further.
    async fn wait_for_room(&self) -> Result<()> {
        let lag = |progress: &Progress| {
            let durable = self.shared.wal.durable_seq();
            durable.saturating_sub(progress.visible)
        };
        let has_room = |progress: &Progress| lag(progress) < self.shared.options.lag_max;
        self.wait_for(has_room).await
    }

    async fn wait_until_visible(&self, below: u64) -> Result<()> {
        self.wait_for(|progress| progress.visible >= below).await
    }

    /// Waits until progress is as wanted, or will not be.
    async fn wait_for(&self, is_wanted: impl Fn(&Progress) -> bool) -> Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let ends = |progress: &Progress| {
            is_wanted(progress) || progress.stalled.is_some() || progress.halted.is_some()
        };
        let progress = progress.wait_for(ends).await;
        let progress = progress.expect("the sender is in what we share");
        if is_wanted(&progress) {
            return Ok(());
        }
        let error = progress.halted.as_ref().or(progress.stalled.as_ref());
        Err(error.cloned().unwrap_or_else(|| Error::new(Kind::Closed)))
    }
}

impl std::fmt::Debug for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collection")
            .field("dir", &self.shared.dir.path())
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// Tells the ingestion that there may be something, also if the request is dropped.
struct TellOnDrop<'a>(&'a Notify);

impl Drop for TellOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn unknown_user(field: &'static str, user: u128) -> Error {
    Error::invalid(
        field,
        format!("user {user} is unknown: no insert has named it"),
    )
}

fn check_options(config: Option<Config>, options: &Options) -> Result<()> {
    let refuse = |message: &str| Err(Error::new(Kind::Mismatch(message.to_owned())));
    if config.is_some_and(|config| !(1..=DIMENSION_MAX).contains(&config.dimension)) {
        return refuse("the dimension must be from 1 to 65536");
    }
    if options.merge_width < 2 {
        return refuse("merge_width must be at least 2");
    }
    let zero = [
        (options.memory_bytes_max, "memory_bytes_max"),
        (options.operation_bytes_max, "operation_bytes_max"),
        (options.operation_rows_max, "operation_rows_max"),
        (options.hits_max, "hits_max"),
        (options.searches_max, "searches_max"),
        (usize::from(options.lag_max > 0), "lag_max"),
    ];
    match zero.iter().find(|(value, _)| *value == 0) {
        Some((_, name)) => refuse(&format!("{name} must be at least 1")),
        None => Ok(()),
    }
}
