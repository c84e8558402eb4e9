//! What was done to a disk, so that the disk can be had again as it was before any of it.

use std::io;

use super::act::Act;
use super::disk::Disk;
use super::nodes::Node;

/// So many acts at most are done again for a disk: few enough to cost less than laying it out.
const KEEP_EVERY: usize = 32;
/// A disk has a list of what no sync has made durable. Where that is long, one is kept after as many acts
/// as an eighth of it: what a run takes grows with its length, not with the square of it.
const PENDING_PER_ACT: usize = 8;

/// What all disks that are kept hold together that no sync has made durable, in changes.
const PENDING_MAX: usize = 1 << 23;

/// A disk, and everything that was done to it.
#[derive(Debug)]
pub(crate) struct Past {
    acts: Vec<Act>,
    /// Before some of the acts, with the number of acts before: the first one has none.
    kept: Vec<(usize, Disk)>,
    /// After the last.
    disk: Disk,
    pending: usize,
}

impl Past {
    /// Of a disk to which nothing was done yet.
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            acts: Vec::new(),
            kept: vec![(0, disk.clone())],
            disk,
            pending: 0,
        }
    }

    /// Does what was done.
    ///
    /// # Errors
    /// If it cannot be done here: this disk is not what it was done to. It is of no use any more, but the
    /// last of its acts is this one.
    pub(crate) fn act(&mut self, act: Act) -> io::Result<()> {
        let done = self.disk.act(&act);
        self.acts.push(act);
        done?;
        let since = self.acts.len() - self.kept.last().map_or(0, |(acts, _)| *acts);
        if since.is_multiple_of(KEEP_EVERY) {
            let pending = self.disk.pending();
            if since >= pending / PENDING_PER_ACT {
                self.pending += pending;
                self.kept.push((self.acts.len(), self.disk.clone()));
            }
        }
        Ok(())
    }

    /// Whether it holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.pending > PENDING_MAX
    }

    pub(crate) fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// The disk after the last act.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The disk before an act, or after the last one.
    pub(crate) fn disk_before(&self, act: usize) -> Disk {
        if act == self.acts.len() {
            return self.disk.clone();
        }
        let later = self.kept.partition_point(|(acts, _)| *acts <= act);
        let (before, disk) = &self.kept[later - 1];
        let mut disk = disk.clone();
        for act in &self.acts[*before..act] {
            disk.act(act).expect("it was done before");
        }
        disk
    }

    /// Whether an act makes something durable.
    pub(crate) fn is_sync(&self, act: usize) -> bool {
        let act = self.acts.get(act);
        matches!(act, Some(Act::Sync { .. } | Act::SyncEverything))
    }
}

impl Disk {
    /// The number of changes that are not durable; of files, only of the one that has most.
    fn pending(&self) -> usize {
        let writes = |node: &Node| match node {
            Node::File(file) => file.writes.len() + file.sizes.len(),
            Node::Dir(_) | Node::Special(_) => 0,
        };
        let nodes = self.nodes.iter().flatten();
        let most = nodes.map(|node| writes(node)).max().unwrap_or(0);
        self.names.len() + self.metadata.len() + most
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profile;
    use super::*;
    use crate::sim::{Bytes, Odometer};
    use crate::tree::{Kind, Metadata};

    #[test]
    fn a_disk_is_had_again_as_it_was() {
        let mut past = Past::new(Disk::new(Profile::Strict));
        let mut disks = Vec::new();
        let path = || "file".to_owned();
        let create = Act::Create {
            path: path(),
            kind: Kind::File,
            metadata: Metadata::default(),
        };
        // First with syncs, then without: fewer disks are kept.
        let (with_syncs, all) = (5 * KEEP_EVERY as u64, 40 * KEEP_EVERY as u64);
        for number in 0..all {
            disks.push(past.disk().clone());
            let act = match number {
                0 => create.clone(),
                number if number % 7 == 0 && number < with_syncs => Act::Sync {
                    path: path(),
                    data_only: false,
                },
                number => Act::Write {
                    path: path(),
                    offset: 100 * number,
                    bytes: Bytes([7; 100].into()),
                },
            };
            past.act(act).expect("it can be done");
        }
        disks.push(past.disk().clone());
        assert!((6..30).contains(&past.kept.len()), "{}", past.kept.len());
        for (moment, disk) in disks.iter().enumerate() {
            let again = past.disk_before(moment);
            assert_eq!(again.fingerprint(), disk.fingerprint(), "{moment}");
            let [mut one, mut two] = [Odometer::default(), Odometer::default()];
            let crashed = again.crash(&mut one).fingerprint();
            assert_eq!(crashed, disk.crash(&mut two).fingerprint(), "{moment}");
            assert_eq!(one.answers(), two.answers(), "{moment}");
        }
    }
}
