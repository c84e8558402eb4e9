//! A store that fails because the machine has nothing left has broken no promise.

use std::io;
use std::path::Path;

use crate::disk::shortage;
use crate::oracle::Violation;
use crate::process::limit_in;
use crate::scratch::room_in;

/// With less than this free, a disk is full.
const BYTES_MIN: u64 = 1 << 20;
const FILES_MIN: u64 = 16;

/// Whether a store broke, in its own words, for want of something that the machine does not give. What the
/// oracle says of entries is a violation in any case.
///
/// # Errors
/// If it is so: the environment is to be changed.
pub(crate) fn excuses(violation: &Violation, scratch: &Path) -> io::Result<()> {
    let Violation::Broken { detail, .. } = violation else {
        return Ok(());
    };
    let Some(reason) = lack(detail, scratch) else {
        return Ok(());
    };
    let reason = format!(
        "the store failed for want of room, which says nothing about it: {reason} ({violation})"
    );
    Err(io::Error::other(reason))
}

/// An error of the harness itself, and what to do about it if the machine has nothing left.
pub(crate) fn explained(error: io::Error, scratch: &Path) -> io::Error {
    let words = error.to_string();
    match lack(&words, scratch) {
        Some(reason) => io::Error::new(error.kind(), format!("{words}: {reason}")),
        None => error,
    }
}

/// What the machine lacks, if these are words of a store for want of it.
pub(crate) fn lack(words: &str, scratch: &Path) -> Option<String> {
    full(words, scratch).or_else(|| limit_in(words))
}

/// Why the words are of a disk that is full, if it is.
fn full(words: &str, scratch: &Path) -> Option<String> {
    shortage(words)?;
    let (bytes, files) = room_in(scratch).ok()?;
    let lacking = if bytes < BYTES_MIN {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{} files", files.filter(|files| *files < FILES_MIN)?)
    };
    let dir = scratch.parent().unwrap_or(scratch).display();
    Some(format!(
        "{dir} has room for only {lacking}; name another directory with --dir"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Stage;

    fn broken(detail: &str) -> Violation {
        Violation::Broken {
            stage: Stage::RecoveryFailed,
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn where_there_is_room_the_words_are_the_stores_own() {
        let dir = tempfile::tempdir().expect("a directory");
        for words in ["No space left on device (os error 28)", "it is confused"] {
            excuses(&broken(words), dir.path()).expect("a violation");
        }
    }

    #[test]
    fn what_the_oracle_says_is_never_excused() {
        // A file system on which no file can be made: it has no room at all.
        let full = Path::new("/proc");
        let lost = Violation::LostAck { id: 1, position: 2 };
        excuses(&lost, full).expect("a violation");
        let words = broken("No space left on device (os error 28)");
        let told = excuses(&words, full).expect_err("no violation").to_string();
        assert!(told.contains("--dir"), "{told}");
    }
}
