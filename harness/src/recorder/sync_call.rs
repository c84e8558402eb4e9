//! What asked for a sync.

use crate::sim::Act;
use crate::trace::Durability;

/// A call that makes something durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncCall {
    pub(crate) name: &'static str,
    /// It writes as well: to a file that is open for synchronous writes, or with such a flag.
    pub(crate) writes: bool,
    pub(crate) durability: Durability,
    pub(crate) of_directory: bool,
}

impl SyncCall {
    /// What a file system is asked for; a write that syncs by itself asks for it after the write.
    pub(super) fn requested(act: &Act, of_directory: bool) -> Self {
        let (name, durability) = match act {
            Act::Sync {
                data_only: true, ..
            } => ("fdatasync", Durability::Data),
            Act::Sync { .. } => ("fsync", Durability::File),
            _ => ("sync", Durability::FileSystem),
        };
        Self {
            name,
            writes: false,
            durability,
            of_directory,
        }
    }
}
