//! What was done since a disk had nothing pending, run after run, and the same without one of its syncs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::site::site_of;
use crate::ablate::site::SyncSite;
use crate::recorder::Followed;
use crate::sim::{Act, Chooser, Disk, Profile, Role};

/// The acts of one run or several, the last of which may have been cut short by a kill.
#[derive(Debug)]
pub(super) struct Chain {
    /// What each profile's disk was before the first act.
    pub(super) disks: Vec<Disk>,
    acts: Vec<Act>,
    /// The syncs among them.
    sites: BTreeMap<usize, Arc<SyncSite>>,
    /// The first act of the last run.
    from: usize,
    /// The first act before which the same had been claimed as by the last run, if that is a recovery.
    claimed_from: usize,
}

/// The disks of the last run: before each of its acts, and after the last.
#[derive(Debug)]
pub(super) struct Moments {
    pub(super) disks: Vec<Disk>,
    /// The number of syncs that were left out, those of earlier runs included.
    pub(super) left_out: u64,
}

impl Chain {
    /// On disks that hold what these acts make, durable.
    ///
    /// # Errors
    /// If they cannot be done.
    pub(super) fn new(profiles: &[Profile], prepared: &[Act]) -> io::Result<Self> {
        let disks = profiles
            .iter()
            .map(|profile| Disk::prepared(*profile, prepared));
        Ok(Self::on(disks.collect::<io::Result<_>>()?))
    }

    fn on(disks: Vec<Disk>) -> Self {
        Self {
            disks,
            acts: Vec::new(),
            sites: BTreeMap::new(),
            from: 0,
            claimed_from: 0,
        }
    }

    /// Adds a run.
    pub(super) fn push(&mut self, recording: &Followed, role: Role) {
        self.from = self.acts.len();
        if role == Role::Writer {
            self.claimed_from = self.from;
        }
        let acts = recording.past.acts();
        for (at, call) in &recording.syncs {
            let site = site_of(call, &acts[*at]);
            self.sites.insert(self.from + at, Arc::new(site));
        }
        self.acts.extend_from_slice(acts);
    }

    /// The sites of all runs.
    pub(super) fn sites(&self) -> Vec<Arc<SyncSite>> {
        let mut sites: Vec<_> = self.sites.values().cloned().collect();
        sites.sort();
        sites.dedup();
        sites
    }

    /// Those of the last run, each with the number of its syncs.
    pub(super) fn hits(&self) -> BTreeMap<Arc<SyncSite>, u64> {
        let mut hits = BTreeMap::new();
        for (_, site) in self.sites.range(self.from..) {
            *hits.entry(Arc::clone(site)).or_default() += 1;
        }
        hits
    }

    /// Whether the run's next act is a sync.
    pub(super) fn is_before_sync(&self, moment: usize) -> bool {
        self.sites.contains_key(&(self.from + moment))
    }

    /// The last run is killed at this moment, with the same claims as from another one on.
    pub(super) fn kill(&mut self, moment: usize, claimed_from: usize) {
        self.claimed_from = self.from + claimed_from;
        self.acts.truncate(self.from + moment);
        drop(self.sites.split_off(&(self.from + moment)));
    }

    /// The power is lost by the rules of one profile. What follows happens by its rules alone: another one
    /// may not allow what is there now.
    pub(super) fn lose_power(&mut self, which: usize, chooser: &mut dyn Chooser) -> io::Result<()> {
        let disk = self.present(which)?.crash(chooser);
        *self = Self::on(vec![disk]);
        Ok(())
    }

    /// Everything becomes durable, as by time.
    pub(super) fn settle(&mut self) {
        self.acts.push(Act::SyncEverything);
        self.from = self.acts.len();
    }

    /// The disks of the run before, with every sync in place, from which on the same had been claimed.
    pub(super) fn claimed_before(&self, which: usize) -> io::Result<Vec<Disk>> {
        let mut disk = self.disks[which].clone();
        let mut disks = Vec::new();
        for (at, act) in self.acts[..self.from].iter().enumerate() {
            if at >= self.claimed_from {
                disks.push(disk.clone());
            }
            disk.act(act)?;
        }
        Ok(disks)
    }

    /// The disk after all acts, with every sync in place.
    pub(super) fn present(&self, which: usize) -> io::Result<Disk> {
        let mut disk = self.disks[which].clone();
        for act in &self.acts {
            disk.act(act)?;
        }
        Ok(disk)
    }

    /// The last run, on a disk from which all syncs of a site are left out.
    pub(super) fn moments(&self, which: usize, without: Option<&SyncSite>) -> io::Result<Moments> {
        let mut disk = self.disks[which].clone();
        let mut moments = Moments {
            disks: Vec::new(),
            left_out: 0,
        };
        for (at, act) in self.acts.iter().enumerate() {
            if at >= self.from {
                moments.disks.push(disk.clone());
            }
            let site = self.sites.get(&at);
            if without.is_some_and(|without| site.is_some_and(|site| **site == *without)) {
                moments.left_out += 1;
                // It counts as an operation, so that all others have the same numbers.
                let told = String::new();
                disk.act(&Act::Answered { told })?;
            } else {
                disk.act(act)?;
            }
        }
        moments.disks.push(disk);
        Ok(moments)
    }
}
