//! What a file system has run out of, recognized in the words of a store.
//!
//! Limits of a process are no matter of file systems: [`limit_in`](crate::process::limit_in) knows their words.

use std::fmt;

use crate::quoted_error::quotes_error;

/// What a store could not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Blocks or inodes of a file system.
    Space,
    /// Blocks or inodes of one user.
    Quota,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Space => "there is no space left on the file system",
            Self::Quota => "the disk quota is used up",
        })
    }
}

/// How each shortage is said: the text of the C library, the name of the error in C and in Rust, what
/// databases say; and the number of the error behind `os error` or `errno`.
const WORDS: [(Shortage, &[&str], u32); 2] = [
    (
        Shortage::Space,
        &[
            "no space left on device",
            "enospc",
            "storagefull",
            // SQLite's.
            "database or disk is full",
        ],
        28,
    ),
    (Shortage::Quota, &["quota exceeded", "edquot"], 122),
];

/// The shortage that a store's words tell of, if they do.
pub(crate) fn shortage(words: &str) -> Option<Shortage> {
    let words = words.to_ascii_lowercase();
    let says = |texts: &[&str], number: u32| {
        texts.iter().any(|text| words.contains(text)) || quotes_error(&words, number)
    };
    let said = WORDS.iter().find(|(_, texts, number)| says(texts, *number));
    said.map(|(shortage, ..)| *shortage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_programs_in_several_languages() {
        for words in [
            "exit status: 1: No space left on device (os error 28)",
            "OSError: [Errno 28] No space left on device: '/x'",
            "write /x: no space left on device",
            "thread 'main' panicked: Os { code: 28, kind: StorageFull, message: \"..\" }",
            "error: database or disk is full",
            "exit status: 1: os error 28",
        ] {
            assert_eq!(shortage(words), Some(Shortage::Space), "{words}");
        }
        for words in ["Disk quota exceeded", "os error 122", "EDQUOT"] {
            assert_eq!(shortage(words), Some(Shortage::Quota), "{words}");
        }
    }

    #[test]
    fn other_words_are_the_stores_own() {
        for words in [
            "exit status: 101: index out of bounds: the len is 28",
            "exit status: 1: Input/output error (os error 5)",
            "exit status: 1: Too many open files (os error 24)",
            "exit status: 1: something (os error 280)",
            "",
        ] {
            assert_eq!(shortage(words), None, "{words}");
        }
    }
}
