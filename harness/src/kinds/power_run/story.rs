//! A power cut under trace, told: which calls were made, what was announced between them, what was lost.

use std::fmt::{self, Write as _};
use std::io;

use super::lives::{End, Life, Lives};
use crate::sim::{Disk, Follower, Profile, Role};

/// Acts told of each life, its last ones.
const ACTS_TOLD: usize = 32;
const LOSSES_TOLD: usize = 24;

impl Lives {
    /// Where it broke, in a line.
    pub(super) fn point(&self) -> io::Result<String> {
        let disks = self.disks()?;
        let Some((life, disk)) = self.lives.iter().zip(disks).last() else {
            return Ok("before anything was done".to_owned());
        };
        let (acts, _) = told(life, disk)?;
        let when = match acts.last() {
            Some(act) => {
                let act = act.lines().next().unwrap_or_default();
                format!("after operation {}", act.trim_start())
            }
            None => "before its first operation".to_owned(),
        };
        let what = match life.end {
            _ if !life.damage.is_empty() => "sectors rotted",
            End::Kill => "killed",
            End::PowerLoss(_) => "power loss",
        };
        Ok(format!(
            "{what} in life {}, {when}, by the rules of `{}`",
            self.lives.len(),
            self.profile
        ))
    }

    /// What happened, life after life. `entry` names an entry.
    pub(super) fn tell(&self, entry: &dyn Fn(u64) -> String) -> io::Result<String> {
        let mut story =
            "Numbers count what changed something, over all lives. `image/` is what recovery \
                         found.\n\n"
                .to_owned();
        let disks = self.disks()?;
        for (number, (life, disk)) in self.lives.iter().zip(disks).enumerate() {
            let (acts, disk) = told(life, disk)?;
            let told = Told {
                life,
                acts,
                losses: life.losses(&disk),
                profile: self.profile,
                entry,
            };
            told.write(&mut story, number + 1)
                .expect("a string takes everything");
        }
        Ok(story)
    }
}

/// A life, as it is told.
struct Told<'t> {
    life: &'t Life,
    acts: Vec<String>,
    losses: Vec<String>,
    profile: Profile,
    entry: &'t dyn Fn(u64) -> String,
}

impl Told<'_> {
    fn write(&self, story: &mut String, number: usize) -> fmt::Result {
        let Self {
            life,
            acts,
            losses,
            profile,
            entry,
        } = self;
        if **life == Life::settling() {
            return writeln!(
                story,
                "{number}. Time passes: everything becomes durable.\n"
            );
        }
        let what = match life.role {
            Role::Writer => "A process opens the store and writes.",
            Role::Recovery => "A process opens the store and reads what is there.",
        };
        writeln!(story, "{number}. {what}\n")?;
        if !life.plan.is_empty() {
            let plan: Vec<String> = life.plan.iter().map(ToString::to_string).collect();
            writeln!(story, "   Its disk fails: {}.\n", plan.join(", "))?;
        }
        let first = acts.len().saturating_sub(ACTS_TOLD);
        if first > 0 {
            writeln!(story, "          ... {first} operations before")?;
        }
        for (index, act) in acts.iter().enumerate().skip(first) {
            writeln!(story, "    {act}")?;
            for told in life
                .events_after(index)
                .filter_map(|event| event.outcome_in_words(entry))
            {
                writeln!(story, "          {told}")?;
            }
        }
        story.push('\n');
        match (&life.end, losses.len(), profile) {
            (End::Kill, ..) => writeln!(
                story,
                "   It is killed. What it wrote is there, as little durable as before.\n"
            )?,
            (End::PowerLoss(_), _, Profile::SyncedOnly) => writeln!(
                story,
                "   The power is lost, by the rules of `{profile}`: all that no sync had made durable is \
                 lost, names too.\n"
            )?,
            (End::PowerLoss(_), 0, _) if life.has_failed_sync() => writeln!(
                story,
                "   The power is lost, by the rules of `{profile}`. Nothing is lost but what was in memory only.\n"
            )?,
            (End::PowerLoss(_), 0, _) => writeln!(
                story,
                "   The power is lost, by the rules of `{profile}`. Nothing is lost.\n"
            )?,
            (End::PowerLoss(_), count, _) => {
                writeln!(
                    story,
                    "   The power is lost, by the rules of `{profile}`. Of what no sync had made durable, \
                     this is lost:"
                )?;
                for loss in losses.iter().take(LOSSES_TOLD) {
                    writeln!(story, "   - {loss}")?;
                }
                if count > LOSSES_TOLD {
                    writeln!(story, "   - and {} more", count - LOSSES_TOLD)?;
                }
                story.push('\n');
            }
        }
        for damage in &life.damage {
            writeln!(story, "   Then a sector rots: {damage}.\n")?;
        }
        Ok(())
    }
}

/// The acts of a life in words, and the disk before its crash.
fn told(life: &Life, disk: Disk) -> io::Result<(Vec<String>, Disk)> {
    let mut follower = Follower::new(disk);
    for act in life.acts.iter().take(life.until) {
        follower.act(act)?;
    }
    let (recording, disk) = follower.recorded();
    let acts = (0..recording.operations.len()).map(|index| {
        let told = recording.tell(index);
        match recording.tell_dropped(index) {
            Some(dropped) => format!("{told}\n              {dropped}"),
            None => told,
        }
    });
    Ok((acts.collect(), disk))
}
