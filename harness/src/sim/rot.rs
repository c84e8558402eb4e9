//! Bytes that rot in what survived.

use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::content::SECTOR_BYTES;
use super::disk::Disk;
use super::nodes::{Ino, Node};

/// What happened to a sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decay {
    /// One bit is another one.
    Flipped {
        /// Which bit of the sector.
        bit: u16,
    },
    /// All of it is zeros.
    Zeroed,
    /// It has changed places with another sector.
    Swapped {
        /// The other one's file.
        path: String,
        /// Its number there.
        sector: u64,
    },
    /// Another sector was written here instead.
    Misplaced {
        /// The other one's file.
        path: String,
        /// Its number there.
        sector: u64,
    },
    /// It holds what it held at this moment of the last run: a write was lost without an error.
    Stale {
        /// The moment.
        gap: usize,
    },
}

/// One damaged sector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    /// The file.
    pub(crate) path: String,
    /// Number of the sector in it.
    pub(crate) sector: u64,
    /// What happened to it.
    pub(crate) decay: Decay,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.sector * SECTOR_BYTES as u64;
        write!(
            f,
            "{}, bytes {at}..{}: ",
            self.path,
            at + SECTOR_BYTES as u64
        )?;
        match &self.decay {
            Decay::Flipped { bit } => {
                let byte = at + u64::from(bit / 8);
                write!(f, "bit {} of byte {byte} is flipped", bit % 8)
            }
            Decay::Zeroed => f.write_str("zeroed"),
            Decay::Swapped { path, sector } => write!(f, "swapped with sector {sector} of {path}"),
            Decay::Misplaced { path, sector } => {
                write!(f, "overwritten with sector {sector} of {path}")
            }
            Decay::Stale { gap } => write!(f, "as it was after {gap} operations of the last life"),
        }
    }
}

impl Damage {
    /// The moment whose bytes are there again, if they are stale.
    pub(crate) fn moment(&self) -> Option<usize> {
        match self.decay {
            Decay::Stale { gap } => Some(gap),
            _ => None,
        }
    }
}

impl Disk {
    /// Files that have bytes, with their paths.
    fn damageable(&self) -> Vec<(String, Ino)> {
        let mut files = self.tree(false);
        files.retain(|(_, ino)| matches!(self.node(*ino), Node::File(file) if file.live.len() > 0));
        files
    }

    /// Draws damage to what is there; stale bytes are those of one of the moments of the past. `None` if there is
    /// nothing.
    pub(crate) fn draw_damage(&self, moments: usize, rng: &mut impl Rng) -> Option<Damage> {
        let files = self.damageable();
        if files.is_empty() {
            return None;
        }
        let mut draw = || {
            let (path, ino) = &files[rng.random_range(0..files.len())];
            let sectors = match self.node(*ino) {
                Node::File(file) => file.live.len().div_ceil(SECTOR_BYTES as u64),
                Node::Dir(_) | Node::Special(_) => 1,
            };
            (path.clone(), rng.random_range(0..sectors))
        };
        let ((path, sector), (other, other_sector)) = (draw(), draw());
        let decay = match rng.random_range(0..5) {
            0 => Decay::Flipped {
                bit: rng.random_range(0..4096),
            },
            1 => Decay::Zeroed,
            2 => Decay::Swapped {
                path: other,
                sector: other_sector,
            },
            3 => Decay::Misplaced {
                path: other,
                sector: other_sector,
            },
            _ => Decay::Stale {
                gap: rng.random_range(0..moments.max(1)),
            },
        };
        Some(Damage {
            path,
            sector,
            decay,
        })
    }

    /// Damages a sector of a file that can be reached, and says whether it is another one now. What is not there
    /// is not damaged. `then` is the disk at the [moment](Damage::moment) of stale bytes.
    pub(crate) fn damage(&mut self, damage: &Damage, then: Option<&Self>) -> bool {
        let tree = self.tree(false);
        let find = |path: &str| {
            tree.iter()
                .find(|(known, _)| known == path)
                .map(|(_, ino)| *ino)
        };
        let Some(ino) = find(&damage.path) else {
            return false;
        };
        let Some(old) = self.sector(ino, damage.sector) else {
            return false;
        };
        let new = match &damage.decay {
            Decay::Flipped { bit } => {
                let mut bytes = old.clone();
                bytes[usize::from(bit / 8) % SECTOR_BYTES] ^= 1 << (bit % 8);
                bytes
            }
            Decay::Zeroed => vec![0; SECTOR_BYTES],
            Decay::Swapped { path, sector } => {
                let Some(other) = find(path) else {
                    return false;
                };
                let Some(bytes) = self.sector(other, *sector) else {
                    return false;
                };
                self.put(other, *sector, &old);
                bytes
            }
            Decay::Misplaced { path, sector } => {
                let bytes = find(path).and_then(|other| self.sector(other, *sector));
                let Some(bytes) = bytes else { return false };
                bytes
            }
            Decay::Stale { .. } => {
                let Some(bytes) = self.stale(ino, damage.sector, then) else {
                    return false;
                };
                bytes
            }
        };
        self.put(ino, damage.sector, &new);
        // Of a sector at the end of its file, not all bytes are there.
        self.sector(ino, damage.sector) != Some(old)
    }

    /// What a sector held then. `None` if its file had other blocks: what a write that was lost leaves is what
    /// the same block held before.
    fn stale(&self, ino: Ino, sector: u64, then: Option<&Self>) -> Option<Vec<u8>> {
        let then = then?;
        let before = then.nodes.get(ino)?.as_deref()?;
        match (self.node(ino), before) {
            (Node::File(now), Node::File(before)) if now.freed == before.freed => {
                then.sector(ino, sector)
            }
            _ => None,
        }
    }

    fn sector(&self, ino: Ino, sector: u64) -> Option<Vec<u8>> {
        match self.node(ino) {
            Node::File(file) => Some(file.live.sectors(sector, 1)),
            Node::Dir(_) | Node::Special(_) => None,
        }
    }

    /// Nothing is pending in what survived: programs see what is durable.
    fn put(&mut self, ino: Ino, sector: u64, bytes: &[u8]) {
        if let Node::File(file) = self.node_mut(ino) {
            let len = file.live.len();
            file.live.put_sector(sector, bytes, false);
            // Bytes behind the end of a file are nobody's.
            file.live.set_len(len);
            file.durable = file.live.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profile;
    use super::*;
    use crate::sim::{Act, Bytes};
    use crate::tree::{Kind, Metadata};

    fn done(disk: &Disk, acts: &[Act]) -> Disk {
        let mut disk = disk.clone();
        for act in acts {
            disk.act(act).expect("it can be done");
        }
        disk
    }

    /// A sector that is stale holds what its block held. A file that was cut has other blocks from there on.
    #[test]
    fn what_was_cut_off_is_no_older_version() {
        let path = || "log".to_owned();
        let write = |byte| Act::Write {
            path: path(),
            offset: 0,
            bytes: Bytes([byte; SECTOR_BYTES].into()),
        };
        let create = Act::Create {
            path: path(),
            kind: Kind::File,
            metadata: Metadata::default(),
        };
        let stale = Damage {
            path: "/log".to_owned(),
            sector: 0,
            decay: Decay::Stale { gap: 0 },
        };
        let first = done(&Disk::new(Profile::Strict), &[create, write(1)]);
        let mut again = done(&first, &[write(2)]);
        assert!(again.damage(&stale, Some(&first)));
        let ino = again.tree(false)[0].1;
        assert_eq!(again.sector(ino, 0), Some(vec![1; SECTOR_BYTES]));
        let cut = Act::SetLen {
            path: path(),
            len: 0,
        };
        let mut cut = done(&first, &[cut, write(2)]);
        assert!(!cut.damage(&stale, Some(&first)));
    }
}
