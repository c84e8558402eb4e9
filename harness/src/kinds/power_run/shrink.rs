//! The smallest version of a power cut under trace: as early as possible, as little damaged and lost as
//! breaks the promise.
//!
//! What the program did stays as it was recorded; what is shrunk is the last crash. First the earliest
//! moment of its life at which a power cut breaks the same promise, then losses are taken back one by one.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::control::kill_control;
use super::damaged::{INTACT_KEEPS_ITS_PROMISES, examine_damaged};
use super::keep::Failure;
use super::lives::{End, Lives};
use crate::history::Event;
use crate::kinds::contract::{Saved, Shrinking};
use crate::kinds::story::Past;
use crate::oracle::Violation;
use crate::scratch::remove_dir;
use crate::shrink::{Deadline, fewer_losses, minimise};
use crate::sim::{Act, Disk, Odometer, Role, Sampler};
use crate::store::Store;
use crate::workload::stream;

/// The largest number of outcomes of a moment of which every one is tried.
const EXHAUSTIVE: usize = 16;
/// The number of outcomes drawn at the other moments.
const SAMPLES: u64 = 8;

/// A version that still fails.
#[derive(Clone)]
struct Failing {
    lives: Lives,
    violation: Violation,
    events: Vec<Event>,
}

pub(super) fn shrink(saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
    let lives: Lives = saved.finding.evidence()?;
    if lives.lives.is_empty() {
        let reason = "it fails without a crash: there is nothing to be taken away".to_owned();
        return Ok(Shrinking::Impossible(reason));
    }
    let mut store = saved.tested.resumed(saved.finding, saved.plan)?;
    let dir = saved.scratch.join("state");
    let mut search = Search {
        store: &mut *store,
        dir: &dir,
        class: saved.finding.violation.class(),
        events: saved.finding.events.clone(),
        tried: 0,
    };
    let Some(found) = search.fails(lives)? else {
        return Ok(Shrinking::Gone("its crash state breaks no promise"));
    };
    let found = minimise(found, deadline, with_less_damage, |lives| {
        search.fails(lives)
    })?;
    let found = search.earlier(found, deadline)?;
    let (found, needs) = search.without_fault(found)?;
    let found = minimise(found, deadline, with_less_lost, |lives| search.fails(lives))?;
    let control = if found.lives.is_damaged() {
        INTACT_KEEPS_ITS_PROMISES.to_owned()
    } else {
        kill_control(
            &found.lives,
            &found.violation,
            &found.events,
            |disk, events| search.violation(disk, events),
        )?
    };
    let tried = search.tried;
    let last = found.lives.lives.last().expect("it has one");
    let live = last.live(before_last(&found.lives)?)?;
    let damage = match last.damage.len() {
        0 => String::new(),
        count => format!("{count} damaged sectors and "),
    };
    let told = format!(
        "{damage}{} losses after {} operations of its last life, after {tried} states{needs}",
        last.losses(&live).len(),
        last.until
    );
    let Failing {
        lives,
        violation,
        events,
    } = found;
    let image = saved.scratch.join("shrunk");
    let failure = Failure {
        lives: &lives,
        past: &Past::default(),
        crash: saved.finding.crash,
        violation,
        events,
        control: &control,
    };
    let finding = failure.keep(&mut *store, &image)?;
    Ok(Shrinking::Smallest {
        told,
        more: finding.told().to_owned(),
        finding: Box::new(finding),
    })
}

/// The disk before the last life.
fn before_last(lives: &Lives) -> io::Result<Disk> {
    let mut disks = lives.disks()?;
    disks.pop();
    Ok(disks.pop().expect("it has a life"))
}

/// The same with fewer sectors damaged, never none.
fn with_less_damage(found: &Failing) -> Vec<Lives> {
    let last = found.lives.lives.last().expect("it has one");
    let without = |at: usize| {
        let mut lives = found.lives.clone();
        let last = lives.lives.last_mut().expect("it has one");
        last.damage.remove(at);
        lives
    };
    let count = last.damage.len();
    (0..count).filter(|_| count > 1).map(without).collect()
}

/// The same with less lost in the last crash.
fn with_less_lost(found: &Failing) -> Vec<Lives> {
    let last = found.lives.lives.last();
    let answers = match last.map(|life| &life.end) {
        Some(End::PowerLoss(answers)) => answers.as_slice(),
        _ => &[],
    };
    let fewer = fewer_losses(answers).into_iter();
    let candidate = |fewer| ending(&found.lives, None, End::PowerLoss(fewer));
    fewer.map(candidate).collect()
}

/// The same lives with another end of the last one.
fn ending(lives: &Lives, until: Option<usize>, end: End) -> Lives {
    let mut lives = lives.clone();
    let last = lives.lives.last_mut().expect("it has one");
    last.until = until.unwrap_or(last.until);
    last.end = end;
    lives
}

/// The same where no sync of the last life failed, if one did. What else its program did stays as it was.
fn with_syncs_carried_out(lives: &Lives) -> Option<Lives> {
    let mut lives = lives.clone();
    let last = lives.lives.last_mut()?;
    let mut is_changed = false;
    for act in &mut last.acts {
        if let Act::SyncFailed {
            path, data_only, ..
        } = act
        {
            is_changed = true;
            *act = Act::Sync {
                path: path.clone(),
                data_only: *data_only,
            };
        }
    }
    last.plan.clear();
    is_changed.then_some(lives)
}

struct Search<'s> {
    store: &'s mut dyn Store,
    /// Where states are laid out.
    dir: &'s Path,
    class: String,
    /// What was known at the failure's own moment.
    events: Vec<Event>,
    tried: u64,
}

impl Search<'_> {
    /// The promise that a disk breaks.
    fn violation(&mut self, disk: &Disk, events: &[Event]) -> io::Result<Option<Violation>> {
        self.tried += 1;
        remove_dir(self.dir)?;
        disk.lay_out(self.dir)?;
        let verdict = match self.store.recover(self.dir, false)? {
            Ok(survivors) => self.store.check(events, &survivors),
            Err(violation) => Err(violation.without_dir(self.dir)),
        };
        Ok(verdict.err())
    }

    /// The promise that damaged bytes break. None is broken by the damage where one is broken without it.
    fn violation_of_damaged(
        &mut self,
        lives: &Lives,
        events: &[Event],
    ) -> io::Result<Option<Violation>> {
        if self.violation(&lives.intact()?, events)?.is_some() {
            return Ok(None);
        }
        self.tried += 1;
        let disk = lives.crash_state()?;
        let verdict = examine_damaged(self.store, self.dir, &disk, events)?;
        Ok(verdict.err())
    }

    /// Whether a version fails in the same way.
    fn fails(&mut self, lives: Lives) -> io::Result<Option<Failing>> {
        let last = lives.lives.last().expect("it has one");
        let events = match last.role {
            Role::Writer if last.until < last.acts.len() => last.events_at(last.until),
            _ => self.events.clone(),
        };
        let violation = if lives.is_damaged() {
            self.violation_of_damaged(&lives, &events)?
        } else {
            self.violation(&lives.crash_state()?, &events)?
        };
        let violation = violation.filter(|violation| violation.class() == self.class);
        Ok(violation.map(|violation| Failing {
            lives,
            violation,
            events,
        }))
    }

    /// The earliest moment of the last life at which some power cut does it, or a kill and the same damage.
    fn earlier(&mut self, found: Failing, deadline: Deadline<'_>) -> io::Result<Failing> {
        let last = found.lives.lives.last().expect("it has one");
        let mut disk = before_last(&found.lives)?;
        for moment in 0..last.until {
            if deadline.is_over() {
                break;
            }
            let tried = if found.lives.is_damaged() {
                self.killed_at(&found.lives, moment)?
            } else {
                self.at(&found.lives, moment, &disk)?
            };
            deadline.tried(tried.is_break());
            if let ControlFlow::Break(earlier) = tried {
                return Ok(earlier);
            }
            disk.act(&last.acts[moment])?;
        }
        Ok(found)
    }

    /// The same without an error of the disk, if it fails so, too; and what that says, in words.
    fn without_fault(&mut self, found: Failing) -> io::Result<(Failing, &'static str)> {
        let last = found.lives.lives.last().expect("it has one");
        if last.plan.is_empty() {
            return Ok((found, ""));
        }
        if last.faulted().is_none() {
            let mut found = found;
            if let Some(last) = found.lives.lives.last_mut() {
                last.plan.clear();
            }
            return Ok((
                found,
                "; it fails without a fault, too: before the disk does",
            ));
        }
        let Some(well) = with_syncs_carried_out(&found.lives) else {
            return Ok((found, ""));
        };
        let last = well.lives.last().expect("it has one");
        let disk = last.live(before_last(&well)?)?;
        Ok(match self.at(&well, last.until, &disk)? {
            ControlFlow::Break(found) => (
                found,
                "; it fails without a fault, too: if its failed syncs had been carried out",
            ),
            ControlFlow::Continue(()) => (
                found,
                "; it does not fail if the syncs that failed had been carried out",
            ),
        })
    }

    /// A moment with everything there that was written by then: where the damage is what breaks the promise, no
    /// loss is needed.
    fn killed_at(&mut self, lives: &Lives, moment: usize) -> io::Result<ControlFlow<Failing>> {
        let found = self.fails(ending(lives, Some(moment), End::Kill))?;
        Ok(match found {
            Some(found) => ControlFlow::Break(found),
            None => ControlFlow::Continue(()),
        })
    }

    /// The outcomes of a power cut at a moment, on a disk as it was then.
    fn at(
        &mut self,
        lives: &Lives,
        moment: usize,
        disk: &Disk,
    ) -> io::Result<ControlFlow<Failing>> {
        let mut odometer = Odometer::default();
        for _ in 0..EXHAUSTIVE {
            disk.crash(&mut odometer);
            let end = End::PowerLoss(odometer.answers());
            if let Some(found) = self.fails(ending(lives, Some(moment), end))? {
                return Ok(ControlFlow::Break(found));
            }
            if !odometer.advance() {
                return Ok(ControlFlow::Continue(()));
            }
        }
        for number in 0..SAMPLES {
            let mut sampler = Sampler::new(stream(number, moment as u64));
            disk.crash(&mut sampler);
            let end = End::PowerLoss(sampler.answers());
            if let Some(found) = self.fails(ending(lives, Some(moment), end))? {
                return Ok(ControlFlow::Break(found));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
