//! The subjects that were named.

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
