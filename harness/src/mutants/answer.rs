//! What a catcher says of a mutant, and how its output is understood.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::process::{Ended, How};
use super::result::Verdict;

/// Why a catcher gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    DoesNotCompile(String),
    Stopped,
    Machine(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

/// What a catcher says of a mutant.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Crash states it looked at.
    pub(super) states: Option<u64>,
    /// What it saw, or why it could not look.
    pub(super) detail: String,
    pub(super) elapsed: Duration,
}

impl Answer {
    pub(super) fn new(verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            states: None,
            detail: detail.into(),
            elapsed: Duration::ZERO,
        }
    }
}

/// What a torture's report and exit status say.
pub(super) fn understand(ended: &Ended) -> Answer {
    let lines = || {
        ended
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    };
    let status = match ended.how {
        How::ByItself(status) => status,
        How::TimedOut => return Answer::new(Verdict::TimedOut, "the torture did not end"),
        How::Stopped | How::Enough => return Answer::new(Verdict::Missed, "interrupted"),
    };
    let summary = lines().find_map(|mut line| line.get_mut("summary").map(Value::take));
    let Some(summary) = summary else {
        let verdict = match status.code() {
            // It hung, or what it said about it was all it could.
            Some(1) => Verdict::Caught,
            Some(2) => Verdict::Unavailable,
            _ => Verdict::Broke,
        };
        return Answer::new(verdict, last_line(ended));
    };
    let violation = lines().find_map(|row| {
        let violation = &row["failures"][0]["violation"];
        violation.as_str().map(str::to_owned)
    });
    let verdict = match (status.code(), summary["verdict"].as_str()) {
        (Some(1), Some("violation")) => Verdict::Caught,
        (Some(0), Some("pass")) => Verdict::Missed,
        (Some(2), Some("vacuous")) => Verdict::NothingShown,
        _ => Verdict::Broke,
    };
    Answer {
        states: summary["crash_states"].as_u64(),
        ..Answer::new(verdict, violation.unwrap_or_default())
    }
}

/// The last line of what a command has said, of its errors if there are any.
pub(super) fn last_line(ended: &Ended) -> String {
    let said = if ended.stderr.trim().is_empty() {
        &ended.stdout
    } else {
        &ended.stderr
    };
    said.trim().lines().last().unwrap_or("").to_owned()
}
