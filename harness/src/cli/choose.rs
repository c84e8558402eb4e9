//! The subjects that were named.

use crate::finding::Finding;
use crate::store::{BlackBox, Tested};
use crate::subject::Subject;

/// The subjects with these names; all but exhibits if there is no name.
pub(super) fn choose<'a>(
    subjects: &[&'a dyn Subject],
    names: &[String],
) -> Result<Vec<&'a dyn Subject>, String> {
    if names.is_empty() {
        let on_trial = subjects
            .iter()
            .filter(|subject| subject.exhibit().is_none());
        return Ok(on_trial.copied().collect());
    }
    let find = |name: &String| {
        let found = subjects.iter().find(|subject| subject.name() == name);
        found.copied().ok_or_else(|| {
            let known: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
            format!("unknown subject '{name}'; known are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// The program that was named by its commands, if one was.
pub(super) fn program(
    [cmd, check, owner]: [&Option<String>; 3],
) -> Result<Option<BlackBox>, String> {
    let (Some(cmd), Some(check)) = (cmd, check) else {
        return Ok(None);
    };
    let program = BlackBox::new(cmd, check)?;
    Ok(Some(match owner {
        Some(owner) => program.owned_by(owner)?,
        None => program,
    }))
}

/// What is under test in a saved failure: its commands, or the subject of its name.
pub(super) fn tested_in<'a>(
    subjects: &[&'a dyn Subject],
    finding: &Finding,
    commands: Option<&'a BlackBox>,
) -> Result<Tested<'a>, String> {
    if let Some(commands) = commands {
        return Ok(Tested::Command(commands));
    }
    let chosen = choose(subjects, std::slice::from_ref(&finding.subject))?;
    Ok(Tested::Subject(chosen[0]))
}
