//! Files and directories: what programs see of each, what is durable, and what lies between.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::content::{Content, SECTOR_BYTES};
use crate::tree::{Kind, Metadata};

/// Names a file or directory, whatever its paths are.
pub(crate) type Ino = usize;

pub(crate) type Names = BTreeMap<Arc<str>, Ino>;

/// The root directory.
pub(crate) const ROOT: Ino = 0;

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) dir: Ino,
    pub(crate) name: Arc<str>,
}

/// Sectors that were written and are not durable.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) op: u64,
    /// Number of the first sector.
    pub(crate) first: u64,
    pub(crate) bytes: Written,
    /// From which to which size it made the file grow.
    pub(crate) grew: Range<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// Whole sectors.
    Bytes(Arc<[u8]>),
    /// So many sectors of zeros: what was cut off.
    Zeros(u64),
}

impl Write {
    pub(crate) fn sectors(&self) -> Range<u64> {
        let count = match &self.bytes {
            Written::Bytes(bytes) => (bytes.len() / SECTOR_BYTES) as u64,
            Written::Zeros(count) => *count,
        };
        self.first..self.first + count
    }

    /// What it wrote to a sector in its range.
    pub(crate) fn sector(&self, sector: u64) -> &[u8] {
        const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];
        match &self.bytes {
            Written::Bytes(bytes) => {
                let at = usize::try_from(sector - self.first).expect("in range") * SECTOR_BYTES;
                &bytes[at..at + SECTOR_BYTES]
            }
            Written::Zeros(_) => &ZEROS,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileNode {
    pub(crate) live: Content,
    pub(crate) durable: Content,
    /// Oldest first.
    pub(crate) writes: Vec<Write>,
    /// Lengths that the file has had since the last sync, oldest first.
    pub(crate) sizes: Vec<u64>,
    /// A failed sync has dropped something: live is not durable with all that is pending.
    pub(super) diverged: bool,
    /// The operation that last gave space back: what is written there later has other blocks.
    pub(super) freed: u64,
    pub(crate) metadata: Sides,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DirNode {
    pub(crate) live: Names,
    pub(crate) durable: Names,
    pub(crate) metadata: Sides,
}

/// A node with neither bytes nor names: a symbolic link, a FIFO, a socket, a device.
#[derive(Clone, Debug)]
pub(crate) struct SpecialNode {
    pub(crate) kind: Kind,
    pub(crate) metadata: Sides,
}

/// A node's metadata, what programs see and what is durable; nothing if none was ever set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides(Option<Arc<(Metadata, Metadata)>>);

impl Sides {
    /// The same on both sides.
    pub(crate) fn of(metadata: Metadata) -> Self {
        let is_set = metadata != Metadata::default() || metadata.modified.is_some();
        Self(is_set.then(|| Arc::new((metadata.clone(), metadata))))
    }

    pub(crate) fn live(&self) -> Option<&Metadata> {
        self.0.as_ref().map(|sides| &sides.0)
    }

    pub(crate) fn durable(&self) -> Option<&Metadata> {
        self.0.as_ref().map(|sides| &sides.1)
    }

    pub(crate) fn live_mut(&mut self) -> &mut Metadata {
        &mut Arc::make_mut(self.0.get_or_insert_default()).0
    }

    pub(super) fn durable_mut(&mut self) -> &mut Metadata {
        &mut Arc::make_mut(self.0.get_or_insert_default()).1
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(FileNode),
    Dir(DirNode),
    Special(SpecialNode),
}

impl Node {
    pub(crate) fn metadata(&self) -> &Sides {
        match self {
            Self::File(file) => &file.metadata,
            Self::Dir(dir) => &dir.metadata,
            Self::Special(special) => &special.metadata,
        }
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut Sides {
        match self {
            Self::File(file) => &mut file.metadata,
            Self::Dir(dir) => &mut dir.metadata,
            Self::Special(special) => &mut special.metadata,
        }
    }
}

impl FileNode {
    /// Sectors that programs see and no sync would write, as byte ranges.
    pub(super) fn in_memory_only(&self) -> Vec<Range<u64>> {
        let sector_bytes = SECTOR_BYTES as u64;
        let end = self
            .live
            .len()
            .max(self.durable.len())
            .div_ceil(sector_bytes);
        let is_pending = |sector: u64| {
            self.writes
                .iter()
                .any(|write| write.sectors().contains(&sector))
        };
        (0..end)
            .filter(|sector| {
                let beyond = sector * sector_bytes >= self.durable.len();
                let differs = self.live.sectors(*sector, 1) != self.durable.sectors(*sector, 1);
                (beyond || differs) && !is_pending(*sector)
            })
            .map(|sector| sector * sector_bytes..(sector + 1) * sector_bytes)
            .collect()
    }

    /// Makes everything pending durable, whatever has been dropped before.
    pub(super) fn write_back(&mut self) {
        for write in std::mem::take(&mut self.writes) {
            for sector in write.sectors() {
                self.durable.put_sector(sector, write.sector(sector), false);
            }
        }
        let sizes = std::mem::take(&mut self.sizes);
        let len = sizes.last().copied().unwrap_or(self.durable.len());
        self.durable.set_len(len);
    }
}
