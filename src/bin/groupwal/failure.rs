//! How a command ends if it does not end well.

use std::io;
use std::process::ExitCode;

/// Why a command did not do all that was asked.
pub(crate) enum Failure {
    /// Acknowledged entries are damaged or lost. Said already, if there is no message.
    Damage(Option<String>),
    /// Wrong usage, an environment that does not allow it, or files that cannot be told for sure.
    Refused(String),
    /// An import stopped at damage, and has said so.
    Stopped,
    Interrupted,
    /// Nobody reads our output any more: not our failure, and nothing to be said.
    NobodyReads,
}

impl Failure {
    pub(crate) fn report(self) -> ExitCode {
        let (status, message) = match self {
            Self::Damage(message) => (1, message),
            Self::Refused(message) => (2, Some(message)),
            Self::Stopped => (3, None),
            Self::Interrupted => (130, Some("interrupted; nothing was made".to_owned())),
            Self::NobodyReads => (0, None),
        };
        if let Some(message) = message {
            eprintln!("groupwal: {message}");
        }
        ExitCode::from(status)
    }
}

impl From<groupwal::Error> for Failure {
    fn from(error: groupwal::Error) -> Self {
        if error.is_given_up() {
            Self::Interrupted
        } else if error.is_corruption() {
            Self::Damage(Some(error.to_string()))
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// Only standard output is written to without a path of its own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Refused(format!("cannot write to standard output: {error}"))
        }
    }
}
