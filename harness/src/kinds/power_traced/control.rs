//! The kill control: what is lost although nothing that was written is lost was never written.

use std::io;

use super::lives::Lives;
use crate::oracle::Violation;
use crate::sim::Disk;

/// Examines the moment of a failure with everything that was written there, and says what that tells of
/// the failure.
///
/// # Errors
/// If the machine fails.
pub(super) fn kill_control(
    lives: &Lives,
    violation: &Violation,
    examine: impl FnOnce(&Disk) -> io::Result<Option<Violation>>,
) -> io::Result<String> {
    let Some((life, disk)) = lives.lives.iter().zip(lives.disks()?).last() else {
        return Ok(String::new());
    };
    let broken = examine(&life.live(disk)?)?;
    Ok(match broken {
        None => "Control: with everything there that had been written by then, as after a kill at the same \
                 moment, every promise holds. So it is the loss that breaks it.\n"
            .to_owned(),
        Some(broken) if broken.class() == violation.class() => format!(
            "Control: LOST TO A KILL ALREADY. With everything there that had been written by then, as after \
             a kill at the same moment, the same promise is broken: {broken}. So a sync that is missing is \
             not the cause, or not the only one.\n"
        ),
        Some(broken) => format!(
            "Control: with everything there that had been written by then, as after a kill at the same \
             moment, another promise is broken: {broken}.\n"
        ),
    })
}
