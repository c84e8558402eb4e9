//! What the machine has run out of, recognized in the words of a store: then the store is not to blame.
//!
//! A store that leaks descriptors or asks for absurd amounts of memory meets the same errors. So these two
//! count as the machine's only where the machine gives less than what a store may expect.

use std::fmt;
use std::fs;

use rustix::process::{Resource, getrlimit};

/// What a store could not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Blocks or inodes of a file system.
    Space,
    /// Blocks or inodes of one user.
    Quota,
    /// Open files.
    Descriptors,
    /// Memory.
    Memory,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Space => "there is no space left on the file system",
            Self::Quota => "the disk quota is used up",
            Self::Descriptors => {
                "there are too many open files (raise the limit: `ulimit -n 1024`)"
            }
            Self::Memory => {
                "there is too little memory (free some, or raise the limit: `ulimit -v`)"
            }
        })
    }
}

/// How each shortage is said: the text of the C library, the number of the error behind `os error` or
/// `errno`, and its name. The longer text of two comes first.
const WORDS: [(Shortage, &[&str], &[u32]); 5] = [
    (
        Shortage::Space,
        &[
            "no space left on device",
            "enospc",
            // SQLite's.
            "database or disk is full",
        ],
        &[28],
    ),
    (
        Shortage::Quota,
        &["disk quota exceeded", "quota exceeded", "edquot"],
        &[122],
    ),
    // The table of the whole system.
    (
        Shortage::Descriptors,
        &["too many open files in system", "enfile"],
        &[23],
    ),
    (
        Shortage::Descriptors,
        &["too many open files", "emfile"],
        &[24],
    ),
    (
        Shortage::Memory,
        &["cannot allocate memory", "enomem"],
        &[12],
    ),
];

/// The open files that a store may expect to have: what most systems allow.
const DESCRIPTORS_EXPECTED: u64 = 1024;
/// With less memory than this left, the machine is to blame, in KiB.
const MEMORY_LEFT_MIN: u64 = 64 << 10;

/// What the machine allows.
struct Limits {
    /// The soft limit of open files.
    descriptors: u64,
    /// A limit of the address space is set.
    is_space_limited: bool,
    /// Memory left, in KiB.
    memory_left: u64,
}

/// The shortage of this machine that a store's words tell of, if they do.
///
/// [`Shortage::Descriptors`] of a process only if fewer than 1024 are allowed; [`Shortage::Memory`] only if
/// the address space is limited or the memory used up.
pub(crate) fn shortage(words: &str) -> Option<Shortage> {
    told(words, &Limits::of_this_process())
}

fn told(words: &str, limits: &Limits) -> Option<Shortage> {
    let words = words.to_ascii_lowercase();
    let says = |texts: &[&str], numbers: &[u32]| {
        texts.iter().any(|text| words.contains(text))
            || numbers.iter().any(|number| has_number(&words, *number))
    };
    let is_system_wide = |numbers: &[u32]| numbers == [23];
    let (shortage, _, numbers) = WORDS
        .iter()
        .find(|(_, texts, numbers)| says(texts, numbers))?;
    let is_of_the_machine = match shortage {
        Shortage::Space | Shortage::Quota => true,
        Shortage::Descriptors => {
            is_system_wide(numbers) || limits.descriptors < DESCRIPTORS_EXPECTED
        }
        Shortage::Memory => limits.is_space_limited || limits.memory_left < MEMORY_LEFT_MIN,
    };
    is_of_the_machine.then_some(*shortage)
}

/// Whether an error of this number is quoted: `os error 28` in Rust, `Errno 28` in Python.
fn has_number(words: &str, number: u32) -> bool {
    ["os error ", "errno "].iter().any(|before| {
        words.split(before).skip(1).any(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit());
            rest[..digits.unwrap_or(rest.len())].parse() == Ok(number)
        })
    })
}

impl Limits {
    fn of_this_process() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let left = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"));
        let left = left.and_then(|left| left.trim().split(' ').next()?.parse().ok());
        Self {
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            is_space_limited: getrlimit(Resource::As).current.is_some(),
            memory_left: left.unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMPLE: Limits = Limits {
        descriptors: 1024,
        is_space_limited: false,
        memory_left: u64::MAX,
    };

    #[test]
    fn a_full_disk_is_told_by_programs_in_several_languages() {
        for words in [
            "exit status: 1: No space left on device (os error 28)",
            "OSError: [Errno 28] No space left on device: '/x'",
            "write /x: no space left on device",
            "thread 'main' panicked: Os { code: 28, kind: StorageFull, message: \"No space left on device\" }",
            "error: database or disk is full",
        ] {
            assert_eq!(told(words, &AMPLE), Some(Shortage::Space), "{words}");
        }
        let quota = "exit status: 1: Disk quota exceeded (os error 122)";
        assert_eq!(told(quota, &AMPLE), Some(Shortage::Quota));
    }

    #[test]
    fn other_words_are_the_stores_own() {
        for words in [
            "exit status: 101: index out of bounds: the len is 28",
            "exit status: 1: Input/output error (os error 5)",
            "exit status: 1: something (os error 280)",
            "",
        ] {
            assert_eq!(told(words, &AMPLE), None, "{words}");
        }
    }

    #[test]
    fn a_store_that_leaks_descriptors_is_to_blame_unless_it_has_few() {
        let words = "exit status: 1: Too many open files (os error 24)";
        assert_eq!(told(words, &AMPLE), None);
        let few = Limits {
            descriptors: 64,
            ..AMPLE
        };
        assert_eq!(told(words, &few), Some(Shortage::Descriptors));
        let system = "exit status: 1: Too many open files in system (os error 23)";
        assert_eq!(told(system, &AMPLE), Some(Shortage::Descriptors));
    }

    #[test]
    fn a_store_that_wants_absurd_memory_is_to_blame_unless_there_is_little() {
        let words = "exit status: 1: Cannot allocate memory (os error 12)";
        assert_eq!(told(words, &AMPLE), None);
        let limited = Limits {
            is_space_limited: true,
            ..AMPLE
        };
        assert_eq!(told(words, &limited), Some(Shortage::Memory));
        let used_up = Limits {
            memory_left: 1 << 10,
            ..AMPLE
        };
        assert_eq!(told(words, &used_up), Some(Shortage::Memory));
    }
}
