//! Everything that a child process of a torture can be told to do.

use crate::process::{
    COMMAND, CommandTask, Failed, KEEPER, Obeyed, PROBE, Roles, become_command, carry_out_keeper,
    carry_out_probe,
};
use crate::store::subject_roles;
use crate::subject::Subject;

/// In a process that a torture has started: does there what the torture wants of one of these subjects, or
/// of a [`BlackBox`](crate::BlackBox), and ends the process. In every other process it returns at once.
///
/// A test calls it first if it makes something before its [`Torture`](crate::Torture), such as a directory
/// of scripts: each process that is killed is the same test, started again, and would make its own, and
/// leave it behind.
///
/// ```no_run
/// # use plugpull::{BlackBox, Torture};
/// #[test]
/// fn a_program_in_shell_survives_a_kill() {
///     plugpull::obey_orders(&[]);
///     let scripts = tempfile::tempdir().unwrap();
///     # let (writer, checker) = ("true {dir}", "true {dir}");
///     // The two scripts are written there.
///     Torture::new(BlackBox::new(writer, checker).unwrap()).run().unwrap();
/// }
/// ```
pub fn obey_orders(subjects: &[&dyn Subject]) {
    let roles = Roles::default()
        .with(&COMMAND, |task: CommandTask, _| {
            become_command(&task)?;
            Ok(Obeyed::Done)
        })
        .with(&KEEPER, |(), _| {
            carry_out_keeper()?;
            Ok(Obeyed::Done)
        })
        .with(&PROBE, |task, _| {
            carry_out_probe(&task).map_err(Failed::Store)?;
            Ok(Obeyed::Done)
        });
    subject_roles(roles, subjects).obey();
}
