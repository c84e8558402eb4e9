//! `rot` under trace: sectors of what a crash or an orderly end leaves are damaged.
//!
//! Each state is recovered as it is first: what breaks there is no matter of rot.

use std::ops::ControlFlow;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::damaged::{Decayed, examine_damaged};
use super::lives::End;
use super::scene::{Halt, Scene};
use super::worker::{OnTrace, shape_of_disk};
use crate::history::Event;
use crate::loss::{LossModel, Rot, Rotten};
use crate::oracle::Violation;
use crate::reached::{BROKEN, Place};
use crate::recorder::{Disks, Recording};
use crate::sim::Disk;
use crate::tally::Tally;

/// Crashes of a writer whose states are damaged.
const CRASHES: usize = 5;
/// Damaged copies of each state that are drawn. Many are the same: files are short.
const COPIES: usize = 160;
/// Of these, how many are looked at.
const LOOKED_AT_MAX: usize = 48;

/// What comes of one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// Copies of it were damaged.
    Damaged,
    /// It breaks a promise as it is, or was looked at before.
    Skipped,
}

impl OnTrace<'_> {
    /// One writer; damage to what its crashes leave, and to what a recovery of one of them leaves.
    pub(super) fn rotten_generation(&mut self, tally: &mut Tally) -> Result<(), Halt> {
        let mid_work = tally.killed_mid_work;
        let recording = self.written(tally)?;
        let scene = Scene::of_writer(&recording, &[]);
        let last = recording.moments() - 1;
        let mut crashes = vec![(last, End::Kill)];
        crashes.extend((1..CRASHES).filter_map(|_| self.draw_crash(&scene)));
        let mut base = None;
        for crash in crashes {
            if self.is_over() {
                break;
            }
            if self.rot(&scene, &crash, tally)? == Looked::Damaged {
                base = Some(crash);
            }
        }
        let Some(crash) = base else {
            // Only what is damaged shows something.
            tally.killed_mid_work = mid_work;
            self.lives = None;
            return Ok(());
        };
        let recovery = self.recover_traced(&scene, crash, tally)?;
        if let Err(violation) = &recovery.verdict {
            self.tell_intact(violation);
            self.lives = None;
            return Ok(());
        }
        let inner = Scene::of_recovery(&recovery.recording);
        let end = (recovery.recording.moments() - 1, End::Kill);
        let crash = recovery.crash.clone();
        self.lives.as_mut().expect("begun").lives.push(crash);
        let looked = self.rot(&inner, &end, tally);
        self.lives.as_mut().expect("begun").lives.pop();
        looked?;
        self.begin_after(recovery);
        Ok(())
    }

    /// Damages what a crash leaves, again and again.
    fn rot(
        &mut self,
        scene: &Scene<'_>,
        (moment, end): &(usize, End),
        tally: &mut Tally,
    ) -> Result<Looked, Halt> {
        let recording = scene.recording;
        let life = scene.ended(*moment, end.clone());
        let disk = life.crashed(&recording.disk_at(*moment));
        let events = recording.announced_at(*moment);
        if !self.is_new(&disk, &events, tally) {
            return Ok(Looked::Skipped);
        }
        let place = scene.place(*moment);
        tally.reached.count(&place, shape_of_disk(&disk));
        self.bench.lay_out(&disk)?;
        if let Err(violation) = self.bench.recovered(&events, tally)? {
            self.tell_intact(&violation);
            return Ok(Looked::Skipped);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.bench.rng.next_u64());
        let mut loss = Rot {
            disk: &disk,
            copies: COPIES,
            rng: &mut rng,
        };
        let until = tally.crash_states + LOOKED_AT_MAX as u64;
        let looked = loss.crash_states(recording, 0..moment + 1, |_, rotten| {
            let Rotten { disk, damage } = rotten;
            let mut life = life.clone();
            life.damage = damage;
            match self.examine_rotten(&place, &disk, &events, tally) {
                Ok(Ok(())) => {}
                Ok(Err(violation)) => {
                    if let Err(halt) = self.broken(life, events.clone(), violation, tally) {
                        return ControlFlow::Break(Err(halt));
                    }
                }
                Err(halt) => return ControlFlow::Break(Err(halt)),
            }
            if self.is_over() || tally.crash_states >= until {
                return ControlFlow::Break(Ok(()));
            }
            ControlFlow::Continue(())
        });
        match looked {
            ControlFlow::Break(Err(halt)) => Err(halt),
            _ => Ok(Looked::Damaged),
        }
    }

    /// Recovers a damaged copy, if there was none like it, and counts what comes of it.
    fn examine_rotten(
        &mut self,
        place: &Place,
        disk: &Disk,
        events: &[Event],
        tally: &mut Tally,
    ) -> Result<Result<(), Violation>, Halt> {
        if !self.is_new(disk, events, tally) {
            return Ok(Ok(()));
        }
        let bench = &mut self.bench;
        let decayed = examine_damaged(&mut *bench.store, &bench.dir, disk, events)?;
        let came_of_it = decayed.as_ref().map_or(BROKEN, Decayed::number);
        tally.reached.count(place, came_of_it);
        match decayed {
            Ok(Decayed::Served(entries)) => tally.recovered += entries as u64,
            Ok(Decayed::Refused) => tally.detected += 1,
            Ok(Decayed::Unprovable) => tally.unprovable += 1,
            Err(violation) => return Ok(Err(violation)),
        }
        Ok(Ok(()))
    }

    /// Says once that a state breaks a promise before anything is damaged.
    fn tell_intact(&mut self, violation: &Violation) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        eprintln!(
            "a crash state breaks a promise without any damage, so `rot` damages no such state:              {violation}; `--crash power` looks for such states"
        );
    }
}
