//! The two commands.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::process::quoted;

/// Stands for the store's directory in a command.
const DIR_MARK: &str = "{dir}";

/// A store that is only known by two commands. See `docs/black-box.md`.
///
/// ```no_run
/// # use plugpull::{BlackBox, Torture};
/// let store = BlackBox::new("./writer {dir}", "./checker {dir}").unwrap();
/// Torture::new(store).seed(1).run().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlackBox {
    /// Opens the store and appends until it is killed.
    pub(super) cmd: String,
    /// Opens what is left and prints what survived.
    pub(super) check: String,
    /// Makes the store that the first writer opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) setup: Option<String>,
}

impl BlackBox {
    /// What it is called in reports.
    pub(crate) const NAME: &str = "black-box";
    /// Its one engine.
    pub(crate) const ENGINE: &str = "default";

    /// `cmd` writes until it is killed, `check` prints what survived. In both, `{dir}` stands for the
    /// store's directory.
    ///
    /// # Errors
    /// If one of them does not name the directory.
    pub fn new(cmd: impl Into<String>, check: impl Into<String>) -> Result<Self, String> {
        let (cmd, check) = (cmd.into(), check.into());
        names_dir("--cmd", &cmd)?;
        names_dir("--check", &check)?;
        Ok(Self {
            cmd,
            check,
            setup: None,
        })
    }

    /// `setup` makes the store before it is tortured, and ends. What it leaves is durable, and what each fresh
    /// directory begins with: for a program whose creation is slow, or is known to be no match for a crash. The
    /// store has to be closed then, and empty: the checker is asked, and shows no entry.
    ///
    /// # Errors
    /// If it does not name the directory.
    pub fn setup(self, setup: impl Into<String>) -> Result<Self, String> {
        let setup = setup.into();
        names_dir("--setup", &setup)?;
        Ok(Self {
            setup: Some(setup),
            ..self
        })
    }
}

/// Refuses a command that does not name the directory.
fn names_dir(option: &str, command: &str) -> Result<(), String> {
    if command.contains(DIR_MARK) {
        return Ok(());
    }
    Err(format!(
        "{option} '{command}' does not say where the store is: write {DIR_MARK} where the command takes its \
         directory"
    ))
}

/// A command for a store in this directory, as a shell takes it.
pub(super) fn command_for(command: &str, dir: &Path) -> String {
    command.replace(DIR_MARK, &quoted(&dir.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_quoted_for_the_shell() {
        let command = command_for("w --at {dir} --log {dir}/log", Path::new("/tmp/it's here"));
        assert_eq!(
            command,
            r"w --at '/tmp/it'\''s here' --log '/tmp/it'\''s here'/log"
        );
    }

    #[test]
    fn a_command_without_the_directory_is_refused() {
        let refused = BlackBox::new("./writer {dir}", "./checker").expect_err("no {dir}");
        assert!(refused.contains("--check './checker'"), "{refused}");
        let store = BlackBox::new("./writer {dir}", "./checker {dir}").expect("both name it");
        let refused = store.setup("./setup").expect_err("no {dir}");
        assert!(refused.contains("--setup './setup'"), "{refused}");
    }
}
