//! How a collection is to behave.

use serde::{Deserialize, Serialize};

use crate::blocking::Blocking;
use crate::metric::Metric;

/// What a collection is. Fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Length of every vector.
    pub dimension: u32,
    /// How near two vectors are.
    pub metric: Metric,
}

/// Largest dimension.
pub const DIMENSION_MAX: u32 = 1 << 16;

/// Which log a collection that exists may be opened with. Its manifest has the identity of its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AcceptLog {
    /// Its own only.
    #[default]
    Own,
    /// Its own or, where that is gone, a new one, whose operations are counted from 0 again. Operations that
    /// were in the log and in no segment file are lost: ask for it once, not for ever. A log that holds
    /// operations of another one is refused all the same.
    Lost,
    /// Whichever is there and holds operations from the manifest's position on: one that `groupwal salvage`
    /// has made from the collection's own. Operations that it has lost are passed over. Another collection's
    /// operations would be taken in, too.
    Other,
}

/// How a collection behaves while it is open. Start from [`Options::default`].
///
/// Its memory is bounded by them:
///
/// - `memory_bytes_max` and one batch of operations that is taken in, twice `operation_bytes_max`;
/// - 64 KiB (or a row, if that is longer) for each segment file read by a search, of which there are
///   `searches_max` at once, and by a merge;
/// - 56 bytes for each 64 KiB of the segment files;
/// - the log's own, as [`groupwal::Options`] has it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Policy, engine and files of the log. The sizes of entries and groups follow from
    /// `operation_bytes_max`, and whether a log may be created from whether there is a collection.
    pub log: groupwal::Options,
    /// Which log a collection that exists may be opened with.
    pub accept_log: AcceptLog,
    /// Operations in memory are flushed when they take so many bytes.
    pub memory_bytes_max: usize,
    /// Largest operation in the log, in bytes.
    pub operation_bytes_max: usize,
    /// Most rows of an operation: documents times users.
    pub operation_rows_max: usize,
    /// Most documents that a search returns.
    pub hits_max: usize,
    /// Searches that run at once; others wait.
    pub searches_max: usize,
    /// So many neighbouring segment files of a size are merged into one. At least 2.
    pub merge_width: usize,
    /// Inserts wait while so many operations are durable and not yet visible.
    pub lag_max: u64,
    /// Where blocking work runs.
    pub blocking: Blocking,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: groupwal::Options::default(),
            accept_log: AcceptLog::Own,
            memory_bytes_max: 64 << 20,
            operation_bytes_max: 1 << 20,
            operation_rows_max: 1 << 16,
            hits_max: 10_000,
            searches_max: 8,
            merge_width: 4,
            lag_max: 1 << 20,
            blocking: Blocking::Pool,
        }
    }
}

impl Options {
    /// The log's options: an operation fits an entry, and the log has the sizes that it needs for that.
    pub(crate) fn log(&self) -> groupwal::Options {
        // An entry's prefix and a margin.
        let group = (self.operation_bytes_max + 64).max(self.operation_bytes_max * 4);
        self.log
            .clone()
            .entry_bytes_max(self.operation_bytes_max)
            .group_bytes_max(group)
    }
}
