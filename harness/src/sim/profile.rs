//! What a file system forgets when the power goes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The rules by which a crash state is made. Each allows at least what the real thing does; where
/// nothing is promised, `Strict` allows everything. The sources are in `docs/power.md`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Whatever POSIX allows.
    ///
    /// - Each sector written since the last sync of its file survives in any of its versions,
    ///   whatever happens to its neighbours; the size is another matter, decided apart.
    /// - Space that is inside the new size and was never written durably holds zeros or garbage.
    /// - Each change of a name is kept or lost by itself until *its directory* is synced; a sync of
    ///   the file does not help. A rename happens as a whole or not at all. After a rename from one
    ///   directory to another and a sync of the target alone, both names may be there.
    #[default]
    Strict,
    /// ext4 with `data=ordered`, delayed allocation and `dioread_nolock`, its defaults.
    ///
    /// - Names: a crash leaves a prefix of their changes. A sync that has to commit the journal
    ///   makes durable all changes up to the file's own last one, whosever they are.
    /// - Bytes in allocated blocks: any subset of sectors, in any order.
    /// - Bytes in new blocks: there, or zeros; never garbage. The size may go ahead of them.
    Ext4Ordered,
    /// XFS: as ext4, but a file that is written at its end grows only after the page with its last
    /// bytes is on disk; there may be zeros in the middle. A size that was set vouches for nothing.
    Xfs,
    /// Btrfs: pages are replaced whole, and a file that is written at its end grows only after one of
    /// its new pages is on disk, any of them. A sync of a file makes durable its own names, a sync of
    /// a directory the names in it and what was renamed out of it; otherwise a prefix of the changes.
    Btrfs,
    /// Only what was synced, by the rules of `Strict`: every crash has one outcome.
    SyncedOnly,
    /// Everything survives, as after a kill: every crash has one outcome.
    Everything,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Strict,
        Self::Ext4Ordered,
        Self::Xfs,
        Self::Btrfs,
        Self::SyncedOnly,
        Self::Everything,
    ];

    /// A sync that changes metadata commits everybody's.
    pub(super) fn has_one_journal(self) -> bool {
        matches!(self, Self::Ext4Ordered | Self::Xfs)
    }

    /// A sync of a file makes its own names durable.
    pub(super) fn sync_keeps_names(self) -> bool {
        self == Self::Btrfs
    }

    /// A crash leaves a prefix of the changes of names.
    pub(super) fn names_in_order(self) -> bool {
        matches!(self, Self::Ext4Ordered | Self::Xfs | Self::Btrfs)
    }

    /// A file that is written at its end grows after some of its new bytes are on disk.
    pub(super) fn grows_with_data(self) -> bool {
        matches!(self, Self::Xfs | Self::Btrfs)
    }

    /// Pages are replaced whole.
    pub(super) fn whole_pages(self) -> bool {
        self == Self::Btrfs
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Ext4Ordered => "ext4-ordered",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::SyncedOnly => "synced-only",
            Self::Everything => "everything",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.map(|profile| profile.to_string());
        let index = known.iter().position(|known| known == name);
        index
            .map(|index| Self::ALL[index])
            .ok_or_else(|| format!("unknown profile '{name}'; known are: {}", known.join(", ")))
    }
}
