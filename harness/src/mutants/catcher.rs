//! A catcher: what it is, and what it can be asked.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use crate::crash_kind::CrashKind;
use crate::stop::Stop;

/// A catcher is given so long by itself.
const BUDGET: Duration = Duration::from_secs(20);
/// Tests know themselves when they are through; they are given so long.
pub(super) const TESTS_LIMIT: Duration = Duration::from_secs(180);

/// What may notice a mutant. See the [module](super).
#[derive(Clone, Debug)]
pub struct Catcher {
    pub(super) name: String,
    pub(super) sees: String,
    budget: Duration,
    pub(super) needs: Option<Need>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Torture {
        package: String,
        subject: String,
    },
    Tests {
        package: String,
        targets: Vec<String>,
    },
    Command {
        build: String,
        run: String,
        argument: String,
    },
}

/// What must be there, and how to get it.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) command: String,
    pub(super) hint: String,
}

/// What is the same for all catchers of a run.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) target: PathBuf,
    /// Builds take turns: they share a target directory, and the last part of a build is a copy out
    /// of it.
    pub(super) building: Mutex<()>,
    pub(super) stop: &'a Stop,
    /// Instead of each catcher's own.
    pub(super) budget: Option<Duration>,
}

impl Catcher {
    /// A crash kind: the torture binary of `package`, on `subject` if a mutant names no other as the
    /// argument.
    pub fn torture(crash: CrashKind, package: &str, subject: &str) -> Self {
        let kind = Kind::Torture {
            package: package.to_owned(),
            subject: subject.to_owned(),
        };
        Self::new(&crash.to_string(), crash.description(), kind)
    }

    /// Test binaries of `package`, each named as by `cargo test --test`. They know by themselves when
    /// they are through, so there is no budget but a limit of three minutes each.
    ///
    /// A mutant may name as the argument one of several targets, or one and a filter for its tests:
    /// `tests(faults::rolled_back)`. Of a single target it names the filter: `races(closing)`.
    pub fn tests(name: &str, package: &str, targets: &[&str]) -> Self {
        let kind = Kind::Tests {
            package: package.to_owned(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        Self::new(name, "what these tests assert", kind)
    }

    /// A command for the shell that fails if it sees a bug, and one that builds it. Both run in the
    /// copy of the tree. In both, `{argument}` stands for what a mutant names as the argument, or
    /// else for `argument`, and `{budget}` for seconds.
    pub fn command(name: &str, build: &str, run: &str, argument: &str) -> Self {
        let kind = Kind::Command {
            build: build.to_owned(),
            run: run.to_owned(),
            argument: argument.to_owned(),
        };
        Self::new(name, "what this command checks", kind)
    }

    fn new(name: &str, sees: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            sees: sees.to_owned(),
            budget: BUDGET,
            needs: None,
            kind,
        }
    }

    /// How long it looks before it gives up; 20 s if nothing is said. Whole seconds.
    #[must_use]
    pub fn budget(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }

    /// What it sees, in a few words for a table.
    #[must_use]
    pub fn sees(self, sees: &str) -> Self {
        let sees = sees.to_owned();
        Self { sees, ..self }
    }

    /// A command that succeeds where the catcher can run, and how to get what is missing elsewhere.
    #[must_use]
    pub fn needs(self, command: &str, hint: &str) -> Self {
        let need = Need {
            command: command.to_owned(),
            hint: hint.to_owned(),
        };
        Self {
            needs: Some(need),
            ..self
        }
    }

    /// Why it cannot be asked about this, if it cannot.
    pub(super) fn misfit(&self, argument: Option<&str>) -> Option<String> {
        let Kind::Tests { targets, .. } = &self.kind else {
            return None;
        };
        let (wanted, _) = chosen(targets, argument);
        let unknown = wanted.iter().find(|target| !targets.contains(target))?;
        let (name, known) = (&self.name, targets.join(", "));
        Some(format!(
            "'{unknown}' is no test binary of '{name}'; known are: {known}"
        ))
    }

    pub(super) fn budget_of(&self, bench: &Bench<'_>) -> Duration {
        match self.kind {
            Kind::Tests { .. } => TESTS_LIMIT,
            _ => bench.budget.unwrap_or(self.budget),
        }
    }
}

/// The targets that an argument asks for, and the filter for their tests.
pub(super) fn chosen<'a>(
    targets: &[String],
    argument: Option<&'a str>,
) -> (Vec<String>, Option<&'a str>) {
    match (argument, targets) {
        (None, _) | (_, [_]) => (targets.to_vec(), argument),
        (Some(argument), _) => {
            let split = argument.split_once("::");
            let (target, filter) = split.map_or((argument, None), |(it, rest)| (it, Some(rest)));
            (vec![target.to_owned()], filter)
        }
    }
}
