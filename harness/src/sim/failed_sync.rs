//! Syncs that fail: what they leave in memory and on disk.

use std::collections::BTreeSet;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::disk::Disk;
use super::nodes::{Ino, Write};
use super::profile::Profile;

impl Disk {
    /// A sync of a file that failed: what was pending is clean from now on, and never written. What
    /// becomes of it differs; the sources are in `docs/power.md`.
    pub(crate) fn fail_sync(&mut self, ino: Ino, rng: &mut impl Rng) {
        self.tick();
        let profile = self.profile;
        let file = self.file_mut(ino);
        let writes = std::mem::take(&mut file.writes);
        let sizes = std::mem::take(&mut file.sizes);
        let size = sizes.last().copied();
        file.diverged = true;
        match profile {
            // ext4, XFS: some bytes are lost, memory still shows them. ext4 commits the size.
            Profile::Ext4Ordered | Profile::Xfs => {
                let pages = writes.iter().map(Write::sectors);
                let pages = pages.flat_map(|sectors| sectors.start / 8..=(sectors.end - 1) / 8);
                let pages: BTreeSet<u64> = pages.collect();
                let certain = rng.random_range(0..pages.len().max(1));
                let mut lost = BTreeSet::new();
                for (index, page) in pages.into_iter().enumerate() {
                    if index == certain || rng.random_bool(0.5) {
                        lost.insert(page);
                    }
                }
                for write in &writes {
                    for sector in write
                        .sectors()
                        .filter(|sector| !lost.contains(&(sector / 8)))
                    {
                        file.durable.put_sector(sector, write.sector(sector), false);
                    }
                }
                let size = size.filter(|_| profile == Profile::Ext4Ordered);
                file.durable.set_len(size.unwrap_or(file.durable.len()));
            }
            // Btrfs: memory goes back to what the disk has.
            Profile::Btrfs => file.live = file.durable.clone(),
            // Anything.
            Profile::Strict | Profile::SyncedOnly | Profile::Everything => {
                for write in &writes {
                    for sector in write.sectors() {
                        if rng.random_bool(0.5) {
                            file.durable.put_sector(sector, write.sector(sector), false);
                        }
                    }
                }
                let size = size.filter(|_| rng.random_bool(0.5));
                file.durable.set_len(size.unwrap_or(file.durable.len()));
                if rng.random_bool(0.25) {
                    file.live = file.durable.clone();
                }
            }
        }
    }

    /// The same where the program reads a real file, which goes on showing what was written, whatever the
    /// profile says. The same chance gives the same disk.
    pub(crate) fn fail_sync_unseen(&mut self, ino: Ino, chance: u64) {
        let live = self.file_mut(ino).live.clone();
        self.fail_sync(ino, &mut ChaCha8Rng::seed_from_u64(chance));
        self.file_mut(ino).live = live;
    }

    /// A sync of a directory that failed. Nothing is known of the names; they stay pending.
    pub(crate) fn fail_sync_dir(&mut self) {
        self.tick();
    }
}
