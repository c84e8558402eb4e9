//! The two commands.

use serde::{Deserialize, Serialize};

use super::given::DIR_MARK;
use crate::owner::Owner;

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
    /// Owns the store's directory, if it is not the user who runs the torture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Owner>,
}

impl BlackBox {
    /// What it is called in reports.
    pub(crate) const NAME: &str = "black-box";
    /// Its one engine.
    pub(crate) const ENGINE: &str = "default";

    /// `cmd` writes until it is killed, `check` prints what survived. In both, `{dir}` stands for the
    /// store's directory, `{port}` for a TCP port and `{sock}` for the path of a socket that nothing else uses.
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
            owner: None,
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

    /// The store's directory, and the folder of `{sock}`, belong to this user, who can reach both: for a daemon
    /// that changes its user. The commands are started as they are without an owner.
    ///
    /// # Errors
    /// If there is no such user, or a directory cannot be given to it: that takes root.
    pub fn owned_by(self, user: &str) -> Result<Self, String> {
        let owner = Some(Owner::named(user)?);
        Ok(Self { owner, ..self })
    }

    pub(super) fn commands(&self) -> Vec<&str> {
        let both = [&*self.cmd, &*self.check].into_iter();
        both.chain(self.setup.as_deref()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_the_directory_is_refused() {
        let refused = BlackBox::new("./writer {dir}", "./checker").expect_err("no {dir}");
        assert!(refused.contains("--check './checker'"), "{refused}");
        let store = BlackBox::new("./writer {dir}", "./checker {dir}").expect("both name it");
        let refused = store.setup("./setup").expect_err("no {dir}");
        assert!(refused.contains("--setup './setup'"), "{refused}");
    }

    #[test]
    fn an_owner_that_is_no_user_is_refused() {
        let store = BlackBox::new("./writer {dir}", "./checker {dir}").expect("both name it");
        let refused = store.owned_by("no-such-user").expect_err("no user");
        assert!(refused.contains("no user 'no-such-user'"), "{refused}");
    }
}
