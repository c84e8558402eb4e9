//! `replay`: a saved failure, looked at again.

use std::io::ErrorKind;
use std::path::Path;

use super::choose::tested_in;
use super::signal::Signals;
use crate::finding::Finding;
use crate::hang::OnHang;
use crate::kinds::Replayed;
use crate::look_again;
use crate::plan::Plan;
use crate::report::{Verdict, exit_status_of};
use crate::store::commands_of;
use crate::subject::Subject;

pub(super) fn replay(
    subjects: &[&dyn Subject],
    folder: &Path,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let at = |error| format!("cannot replay {}: {error}", folder.display());
    let finding = Finding::load(folder).map_err(at)?;
    let farewell = |signal| {
        eprintln!("Interrupted: the failure was not checked to the end.");
        exit_status_of(signal)
    };
    let signals = Signals::heeded(Box::new(farewell))?;
    println!(
        "{} ({}), when it was found:\n  {}",
        finding.subject, finding.engine, finding.violation
    );
    let commands = commands_of(&finding).map_err(at)?;
    let tested = tested_in(subjects, &finding, commands.as_ref())?;
    let plan = Plan::default().stopped_by(&signals.stop);
    let replayed = look_again::replay(&finding, tested, plan, on_hang);
    let Replayed { verdict, note } = match (replayed, signals.first()) {
        (Err(error), Some(signal)) if error.kind() == ErrorKind::Interrupted => {
            return Ok(farewell(signal));
        }
        (replayed, _) => replayed.map_err(at)?,
    };
    if let Some(note) = &note {
        println!("{note}");
    }
    match verdict {
        Ok(()) if note.is_some() => {
            println!("Now: no promise is broken.");
            Ok(Verdict::Pass.exit_status())
        }
        Ok(()) => {
            println!("Now: no promise is broken. This image recovers correctly.");
            Ok(Verdict::Pass.exit_status())
        }
        Err(violation) => {
            println!("Now:\n  {violation}");
            Ok(Verdict::Violation.exit_status())
        }
    }
}
