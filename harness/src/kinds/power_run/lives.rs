//! What happened in one directory, life after life, so that its last crash state can be made again.

use std::collections::HashSet;
use std::io;

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::image::Image;
use crate::planned_fault::PlannedFault;
use crate::recorder::{Followed, RecorderKind, Recording, changes};
use crate::sim::{Act, Damage, Disk, Narrator, Profile, Replayed, Role};

/// The evidence of a failure: everything that was done, and what each crash took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "as it is saved")]
pub(super) struct Lives {
    /// How its runs were recorded.
    #[serde(default = "traced")]
    pub(super) recorder: RecorderKind,
    pub(super) profile: Profile,
    /// What makes the store that was there before the first life, durable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prepared: Vec<Act>,
    pub(super) lives: Vec<Life>,
}

/// Failures that do not name the recorder are older than the other one.
fn traced() -> RecorderKind {
    RecorderKind::Trace
}

/// One process, or several, from the start to a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) role: Role,
    /// How its disk was to fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) plan: Vec<PlannedFault>,
    pub(super) acts: Vec<Act>,
    /// What was announced, each with the number of acts that it counts after.
    announced: Vec<(usize, Event)>,
    /// It ended before this act.
    pub(super) until: usize,
    pub(super) end: End,
    /// What rots afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) damage: Vec<Damage>,
}

/// How a life ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// What was written is there, as little durable as before.
    Kill,
    /// The power is lost, with these answers to what is lost.
    PowerLoss(Vec<u32>),
}

impl Life {
    /// A recorded life, ended at a moment.
    pub(super) fn of(role: Role, recording: &Followed, until: usize, end: End) -> Self {
        let mut announced = Vec::new();
        let mut known = HashSet::new();
        // Of a recovery nothing counts but what was known before it.
        let moments = match role {
            Role::Writer => until + 1,
            Role::Recovery => 0,
        };
        for moment in 0..moments {
            let events = recording.announced_at(moment);
            let new = events.into_iter().filter(|event| known.insert(*event));
            announced.extend(new.map(|event| (moment, event)));
        }
        Self {
            role,
            plan: Vec::new(),
            acts: recording.past.acts()[..until].to_vec(),
            announced,
            until,
            end,
            damage: Vec::new(),
        }
    }

    /// Nothing happens but that everything becomes durable, as by time.
    pub(super) fn settling() -> Self {
        Self {
            role: Role::Recovery,
            plan: Vec::new(),
            acts: vec![Act::SyncEverything],
            announced: Vec::new(),
            until: 1,
            end: End::Kill,
            damage: Vec::new(),
        }
    }

    /// What had been announced before an act.
    pub(super) fn events_at(&self, moment: usize) -> Vec<Event> {
        let by_then = self.announced.iter().filter(|(at, _)| *at <= moment);
        by_then.map(|(_, event)| *event).collect()
    }

    /// What was announced between an act and the next one.
    pub(super) fn events_after(&self, act: usize) -> impl Iterator<Item = &Event> {
        let meanwhile = move |(at, _): &&(usize, Event)| *at == act + 1;
        self.announced
            .iter()
            .filter(meanwhile)
            .map(|(_, event)| event)
    }

    /// The first act before its end at which its disk failed.
    pub(super) fn faulted(&self) -> Option<usize> {
        let acts = self.acts.iter().take(self.until);
        let fails = |act: &Act| matches!(act, Act::SyncFailed { .. } | Act::Answered { .. });
        acts.enumerate()
            .find(|(_, act)| fails(act))
            .map(|(at, _)| at)
    }

    /// Whether a sync failed before its end: memory may show what no disk has.
    pub(super) fn has_failed_sync(&self) -> bool {
        let mut acts = self.acts.iter().take(self.until);
        acts.any(|act| matches!(act, Act::SyncFailed { .. }))
    }

    /// The disk before the crash.
    pub(super) fn live(&self, disk: Disk) -> io::Result<Disk> {
        self.live_at(disk, self.until)
    }

    /// The disk before an act.
    fn live_at(&self, mut disk: Disk, moment: usize) -> io::Result<Disk> {
        for act in self.acts.iter().take(moment) {
            disk.act(act)?;
        }
        Ok(disk)
    }

    /// The disk after the crash.
    pub(super) fn crashed(&self, disk: &Disk) -> Disk {
        match &self.end {
            End::Kill => disk.clone(),
            End::PowerLoss(answers) => disk.crash(&mut Replayed::new(answers)),
        }
    }

    /// The disk that the next life finds, of one that had this one before it.
    fn left(&self, before: &Disk) -> io::Result<Disk> {
        let mut disk = self.crashed(&self.live(before.clone())?);
        for damage in &self.damage {
            let moment = damage.moment().filter(|moment| *moment <= self.until);
            let then = moment.map(|moment| self.live_at(before.clone(), moment));
            disk.damage(damage, then.transpose()?.as_ref());
        }
        Ok(disk)
    }

    /// What the crash takes, in words.
    pub(super) fn losses(&self, disk: &Disk) -> Vec<String> {
        let End::PowerLoss(answers) = &self.end else {
            return Vec::new();
        };
        let mut narrator = Narrator::new(answers);
        disk.crash(&mut narrator);
        narrator.losses
    }
}

impl Lives {
    /// Nothing has happened yet in a directory that holds this.
    ///
    /// # Errors
    /// If one of its names is not UTF-8.
    pub(super) fn on(
        prepared: &Image,
        recorder: RecorderKind,
        profile: Profile,
    ) -> io::Result<Self> {
        Ok(Self {
            recorder,
            profile,
            prepared: changes(&Image::default(), prepared)?,
            lives: Vec::new(),
        })
    }

    /// The disk before the first life.
    ///
    /// # Errors
    /// If what was prepared cannot be done again.
    pub(super) fn fresh(&self) -> io::Result<Disk> {
        Disk::prepared(self.profile, &self.prepared)
    }

    pub(super) fn are_none(&self) -> bool {
        self.lives.is_empty()
    }

    /// The disk before each life, and after the last one.
    pub(super) fn disks(&self) -> io::Result<Vec<Disk>> {
        let mut disks = vec![self.fresh()?];
        for life in &self.lives {
            let disk = disks.last().expect("the first is there");
            disks.push(life.left(disk)?);
        }
        Ok(disks)
    }

    /// Whether sectors have rotted after the last crash.
    pub(super) fn is_damaged(&self) -> bool {
        let last = self.lives.last();
        last.is_some_and(|life| !life.damage.is_empty())
    }

    /// The disk after the last crash, before anything has rotted.
    pub(super) fn intact(&self) -> io::Result<Disk> {
        let mut lives = self.clone();
        if let Some(last) = lives.lives.last_mut() {
            last.damage.clear();
        }
        lives.crash_state()
    }

    /// What is left after the last crash.
    pub(super) fn crash_state(&self) -> io::Result<Disk> {
        let mut disks = self.disks()?;
        Ok(disks.pop().expect("the first is there"))
    }
}
