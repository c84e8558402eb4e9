//! How a catcher is built in a copy of the tree.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::answer::Trouble;
use super::catcher::{Bench, Catcher, Kind, chosen};
use super::process::{How, Program};
use super::tree::Slot;

/// A build that takes longer is no build.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);

impl Catcher {
    /// Returns copies of what was built: the next build writes to the same place. What one catcher
    /// has built, another may use. The caller has the turn to build.
    pub(super) fn build(
        &self,
        argument: Option<&str>,
        slot: &mut Slot<'_>,
        bench: &Bench<'_>,
    ) -> Result<Vec<PathBuf>, Trouble> {
        let (program, wanted, is_test) = match &self.kind {
            Kind::Torture { package, .. } => {
                let words = format!("cargo build --release --bins --package {package}");
                (cargo(&words, bench), vec![package.clone()], false)
            }
            Kind::Tests { package, targets } => {
                let (wanted, _) = chosen(targets, argument);
                let mut words = format!("cargo test --no-run --package {package}");
                for target in &wanted {
                    words.push_str(" --test ");
                    words.push_str(target);
                }
                (cargo(&words, bench), wanted, true)
            }
            Kind::Command {
                build,
                argument: own,
                ..
            } => {
                let program = self.shell(build, argument.unwrap_or(own), bench);
                (program, Vec::new(), false)
            }
        };
        let key = program.words.join(" ");
        let is_command = matches!(self.kind, Kind::Command { .. });
        if let Some(executables) = slot.built(&key).filter(|_| !is_command) {
            return Ok(executables.to_vec());
        }
        slot.freshen()?;
        let ended = program.run(&slot.path, BUILD_LIMIT, bench.stop, |_| false)?;
        match ended.how {
            How::ByItself(status) if status.success() => {}
            How::Stopped => return Err(Trouble::Stopped),
            How::TimedOut => {
                let why = format!("its build does not end within {BUILD_LIMIT:?}");
                return Err(Trouble::DoesNotCompile(why));
            }
            _ => return Err(Trouble::DoesNotCompile(ended.stderr.trim().to_owned())),
        }
        let built = executables(&ended.stdout, is_test);
        let mut copies = Vec::new();
        for name in &wanted {
            let found = built.iter().find(|(target, _)| target == name);
            let Some((_, path)) = found else {
                let why = format!("the build of {name} made no executable");
                return Err(Trouble::Machine(io::Error::other(why)));
            };
            let copy = slot.out.join(name);
            fs::copy(path, &copy)?;
            copies.push(copy);
        }
        slot.note_built(key, copies.clone());
        Ok(copies)
    }

    /// A command with what is put into its text.
    pub(super) fn shell(&self, line: &str, argument: &str, bench: &Bench<'_>) -> Program {
        let budget = self.budget_of(bench).as_secs().max(1).to_string();
        let line = line
            .replace("{argument}", argument)
            .replace("{budget}", &budget);
        Program::shell(line).env("CARGO_TARGET_DIR", bench.target.to_string_lossy())
    }
}

/// A build that says what it makes.
fn cargo(words: &str, bench: &Bench<'_>) -> Program {
    Program::new(&format!(
        "{words} --locked --message-format json-render-diagnostics"
    ))
    .env("CARGO_TARGET_DIR", bench.target.to_string_lossy())
    .env("CARGO_TERM_COLOR", "never")
    // No debugger looks at them, and they take half of a build.
    .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
    .env("CARGO_PROFILE_DEV_DEBUG", "false")
    .env("CARGO_PROFILE_TEST_DEBUG", "false")
}

/// The executables that cargo says it has built: target and path.
fn executables(messages: &str, is_test: bool) -> Vec<(String, PathBuf)> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable = |message: Value| {
        let path = message["executable"].as_str()?;
        let name = message["target"]["name"].as_str()?;
        let wanted = message["profile"]["test"] == is_test;
        wanted.then(|| (name.to_owned(), PathBuf::from(path)))
    };
    messages.filter_map(executable).collect()
}
