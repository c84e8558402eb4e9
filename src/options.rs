//! What a log is opened with: policy, engine and limits, with their validation.

use crate::engine_kind::EngineKind;
use crate::entry::PREFIX_BYTES;
use crate::error::{Error, Kind, Result};
use crate::executor::Executor;
use crate::frame::HEADER_BYTES;
use crate::policy::SyncPolicy;
use crate::sync::Arc;

/// Whether a log may be created where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Create {
    /// A log is opened or refused ([`Error::is_no_log`]). Nothing is created.
    Never,
    /// A new log begins in a directory in which nothing shows that there was one. Where something does,
    /// such as a LOCK that names a log whose segments are gone, opening is refused
    /// ([`Error::is_corruption`]).
    #[default]
    IfMissing,
    /// As `IfMissing`, and a new log begins, at number 0, also where all segments of a former one are
    /// gone. That accepts the loss of everything that was in it.
    AfterLoss,
}

/// Options of a log. Start from [`Options::default`] and change what you need.
///
/// The log's own memory is bounded by them: two group buffers of `group_bytes_max` plus a block,
/// and 112 bytes for each of at most `appends_max` appends in progress.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) policy: SyncPolicy,
    pub(crate) engine: EngineKind,
    pub(crate) executor: Option<Arc<dyn Executor>>,
    pub(crate) create: Create,
    pub(crate) io_driver: bool,
    pub(crate) block_bytes: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) entry_bytes_max: usize,
    pub(crate) group_bytes_max: usize,
    pub(crate) group_entries_max: u32,
    pub(crate) appends_max: usize,
    pub(crate) spare_segments_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: SyncPolicy::default(),
            engine: EngineKind::default(),
            executor: None,
            create: Create::default(),
            io_driver: false,
            block_bytes: 4096,
            segment_bytes: 64 << 20,
            entry_bytes_max: 1 << 20,
            group_bytes_max: 4 << 20,
            group_entries_max: 65_536,
            appends_max: 1 << 20,
            spare_segments_max: 2,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl Options {
    setters! {
        /// When groups are written and synced. Default: [`SyncPolicy::Adaptive`].
        policy: SyncPolicy;
        /// How groups reach the disk. Default: [`EngineKind::Auto`].
        engine: EngineKind;
        /// Says that every runtime on which the log is used has an I/O driver, as `#[tokio::main]` and
        /// `Builder::enable_io` give it one: [`EngineKind::Auto`] needs it for `io_uring`. Tokio has no way
        /// to ask, and panics where there is none. Default: false.
        io_driver: bool;
        /// Whether a log may be created. Default: [`Create::IfMissing`].
        create: Create;
        /// Frames are padded to this many bytes; a power of two from 512 to 65,536. Default: 4096, the page
        /// size, so that no page with acknowledged bytes is ever written again. With 512 a lone small entry
        /// takes less room, but its page, and on a disk with 4 KiB sectors its sector, is rewritten by the
        /// groups after it: a disk that tears such a write can damage acknowledged entries.
        ///
        /// Existing segments keep the block size they were made with.
        block_bytes: u32;
        /// Size of new segment files in bytes; a multiple of the block size. Default: 64 MiB. A log may have
        /// any number of segments: few of them are open at once.
        segment_bytes: u64;
        /// Largest body of one entry in bytes. Default: 1 MiB.
        entry_bytes_max: usize;
        /// Most bytes of entries in one group; a batch must fit. Default: 4 MiB.
        ///
        /// The last two blocks of a segment are kept for a trim and a seal on a full disk. Only a group
        /// that would not fit a segment otherwise takes them.
        group_bytes_max: usize;
        /// Most entries in one group; a batch may exceed it alone. Default: 65,536.
        group_entries_max: u32;
        /// Most appends in progress at once, waiting ones included; one more is refused with an error
        /// ([`Error::is_overloaded`]). Default: 1,048,576.
        appends_max: usize;
        /// Trimmed segments kept for recycling, which saves filling new ones. Default: 2.
        spare_segments_max: usize;
    }

    /// What runs the blocking work of [`EngineKind::Blocking`], which [`EngineKind::Auto`] is with
    /// it. [`EngineKind::Inline`] has no use for it. Default: Tokio's blocking pool.
    #[must_use]
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = Some(executor);
        self
    }

    /// # Errors
    /// If an option is out of range or contradicts another; the message names them.
    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(Kind::InvalidOptions(message)));
        let block = self.block_bytes;
        if !block.is_power_of_two() || !(512..=65_536).contains(&block) {
            return refuse(format!(
                "block_bytes {block} is not a power of two from 512 to 65536"
            ));
        }
        if !self.segment_bytes.is_multiple_of(u64::from(block)) {
            return refuse(format!(
                "segment_bytes {} is not a multiple of block_bytes {block}",
                self.segment_bytes
            ));
        }
        // The first block of a segment is its header; the rest is for frames. A group that needs the
        // reserved blocks too has a segment for itself.
        let room = self
            .segment_bytes
            .saturating_sub(u64::from(block) + HEADER_BYTES as u64);
        if self.entry_bytes_max == 0 {
            return refuse("entry_bytes_max 0 leaves no room for any entry".into());
        }
        if self.entry_bytes_max.saturating_add(PREFIX_BYTES) > self.group_bytes_max {
            return refuse(format!(
                "an entry of entry_bytes_max {} and its {PREFIX_BYTES} bytes of prefix do not fit \
                 group_bytes_max {}",
                self.entry_bytes_max, self.group_bytes_max
            ));
        }
        if self.group_bytes_max as u64 > room.min(u64::from(u32::MAX)) {
            return refuse(format!(
                "group_bytes_max {} does not fit a segment: segment_bytes {} has room for {room}",
                self.group_bytes_max, self.segment_bytes
            ));
        }
        if let Some(refusal) = self.policy.refusal() {
            return refuse(refusal);
        }
        if self.executor.is_some() && !self.engine.takes_executor() {
            return refuse("an executor has no part in the engine Uring: choose Blocking".into());
        }
        if self.group_entries_max == 0 || self.appends_max == 0 {
            return refuse("group_entries_max and appends_max must be at least 1".into());
        }
        Ok(())
    }
}
