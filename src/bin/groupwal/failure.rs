//! How a command ends if it does not end well.

use std::io;
use std::process::ExitCode;

/// The exit status of a program that Ctrl-C ended, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command did not do all that was asked.
pub(crate) enum Failure {
    /// Acknowledged entries are damaged or lost. Said already, if there is no message.
    Damage(Option<String>),
    /// Wrong usage, an environment that does not allow it, or files that cannot be told for sure.
    Refused(String),
    /// An import stopped at damage, and has said so.
    Stopped,
    Interrupted,
    /// The reader of the output has closed it: no failure of the command, and nothing to be said.
    OutputClosed,
}

impl Failure {
    pub(crate) fn report(self) -> ExitCode {
        let (status, message) = match self {
            Self::Damage(message) => (1, message),
            Self::Refused(message) => (2, Some(message)),
            Self::Stopped => (3, None),
            Self::Interrupted => (
                INTERRUPTED,
                Some("interrupted; nothing was made".to_owned()),
            ),
            Self::OutputClosed => (0, None),
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
        } else if error.is_trimmed() {
            Self::Refused(format!(
                "the log is in use, and its owner trimmed what was about to be read: {error}. Run it again"
            ))
        } else {
            let hint = error.io_error().map_or("", hint);
            Self::Refused(format!("{error}{hint}"))
        }
    }
}

/// Only standard output is written to without a path of its own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            let hint = hint(&error);
            Self::Refused(format!("cannot write to standard output: {error}{hint}"))
        }
    }
}

/// What to do about an error of the operating system that the library says nothing about.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            " (the process may not make files of this size: raise the limit, `ulimit -f`)"
        }
        _ => "",
    }
}
