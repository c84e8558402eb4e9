//! The kill control: what is lost although nothing that was written is lost was never written.

use std::io;

use super::lives::{Life, Lives};
use crate::history::Event;
use crate::oracle::Violation;
use crate::sim::{Disk, Role};

/// Moments before the failure's own that are looked at.
const EARLIER_MAX: usize = 8;

/// Examines the moment of a failure with everything that was written there, and says what that tells of
/// the failure. `events` is what was known at that moment.
///
/// # Errors
/// If the machine fails.
pub(super) fn kill_control(
    lives: &Lives,
    violation: &Violation,
    events: &[Event],
    mut examine: impl FnMut(&Disk, &[Event]) -> io::Result<Option<Violation>>,
) -> io::Result<String> {
    let Some((life, disk)) = lives.lives.iter().zip(lives.disks()?).last() else {
        return Ok(String::new());
    };
    let is_same = |broken: &Violation| broken.class() == violation.class();
    let broken = examine(&life.live(disk.clone())?, events)?;
    if let Some(broken) = broken.as_ref().filter(|broken| !is_same(broken)) {
        return Ok(format!(
            "Control: with everything there that had been written by then, as after a kill at the same \
             moment, another promise is broken: {broken}.\n"
        ));
    }
    let mut found = broken.map(|broken| ("at the same moment", broken));
    // What is acknowledged before it is written is there a moment later.
    let earlier = acknowledgements(life, disk)?;
    for (disk, events) in earlier.iter().rev().take(EARLIER_MAX) {
        if found.is_none() {
            let broken = examine(disk, events)?.filter(is_same);
            found = broken.map(|broken| ("when it was acknowledged", broken));
        }
    }
    Ok(match found {
        None => "Control: with everything there that had been written by then, as after a kill at the same \
                 moment, every promise holds. So it is the loss that breaks it.\n"
            .to_owned(),
        Some((when, broken)) => format!(
            "Control: LOST TO A KILL ALREADY. With everything there that had been written by then, as after \
             a kill {when}, the same promise is broken: {broken}. So a sync that is missing is \
             not the cause, or not the only one.\n"
        ),
    })
}

/// The disk at each moment before the end of a life at which something had just been acknowledged, and what
/// was known then.
fn acknowledgements(life: &Life, mut disk: Disk) -> io::Result<Vec<(Disk, Vec<Event>)>> {
    let mut found = Vec::new();
    let mut known = 0;
    // Of a recovery nothing counts but what was known before it.
    let done = life.acts.iter().filter(|_| life.role == Role::Writer);
    for (moment, act) in done.take(life.until).enumerate() {
        let events = life.events_at(moment);
        let acks = events.iter().filter(|event| event.ack().is_some()).count();
        if acks > known {
            known = acks;
            found.push((disk.clone(), events));
        }
        disk.act(act)?;
    }
    Ok(found)
}
