//! Everything that a child process of a torture can be told to do.

use crate::process::{
    COMMAND, CommandTask, Failed, Obeyed, PROBE, Roles, carry_out_command, carry_out_probe,
};
use crate::store::subject_roles;
use crate::subject::Subject;

/// In a child: carries out its order, if it is for one of these subjects, and ends the process.
/// Elsewhere: returns.
pub(crate) fn obey(subjects: &[&dyn Subject]) {
    let roles = Roles::default()
        .with(&COMMAND, |task: CommandTask, traced| {
            carry_out_command(&task, traced)?;
            Ok(Obeyed::Done)
        })
        .with(&PROBE, |task, _| {
            carry_out_probe(&task).map_err(Failed::Store)?;
            Ok(Obeyed::Done)
        });
    subject_roles(roles, subjects).obey();
}
