//! What this process and its children may use, as `ulimit` says.

use nix::unistd::{Uid, getuid};
use rustix::process::{Resource, getrlimit};

use crate::quoted_error::quotes_error;

use super::procfs::threads_of;

const MIB: u64 = 1 << 20;

/// A limit, and the least that a torture can do with.
struct Limit {
    resource: Resource,
    /// As a shell sets it.
    option: &'static str,
    what: &'static str,
    /// A shell counts in units of this.
    unit: u64,
    least: u64,
}

const LIMITS: [Limit; 4] = [
    Limit {
        resource: Resource::Nofile,
        option: "ulimit -n",
        what: "open files",
        unit: 1,
        least: 48,
    },
    Limit {
        resource: Resource::As,
        option: "ulimit -v",
        what: "KiB of addresses",
        unit: 1024,
        least: 512 * MIB,
    },
    Limit {
        resource: Resource::Fsize,
        option: "ulimit -f",
        what: "KiB in a file",
        unit: 1024,
        least: 16 * MIB,
    },
    Limit {
        resource: Resource::Nproc,
        option: "ulimit -u",
        what: "threads of this user",
        unit: 1,
        least: 32,
    },
];

impl Limit {
    /// What is allowed, if that is not everything.
    fn current(&self) -> Option<u64> {
        getrlimit(self.resource).current
    }

    fn is_of_threads(&self) -> bool {
        matches!(self.resource, Resource::Nproc)
    }

    fn check(&self) -> Result<(), String> {
        let Some(current) = self.current() else {
            return Ok(());
        };
        let in_use = match self.is_of_threads() {
            // No such limit binds root.
            true if getuid().is_root() => return Ok(()),
            true => threads_of(getuid()),
            false => 0,
        };
        if current >= self.least + in_use {
            return Ok(());
        }
        let (option, what) = (self.option, self.what);
        let [allowed, least] = [current, self.least + in_use].map(|value| value / self.unit);
        let used = if in_use > 0 {
            format!(", {in_use} of them in use")
        } else {
            String::new()
        };
        Err(format!(
            "`{option}` allows {allowed} {what}{used}, and a torture takes at least {least}: raise it with \
             `{option} {least}`"
        ))
    }
}

/// Whether the limits of this process leave room for a torture.
///
/// # Errors
/// The first that does not, and what to do.
pub(crate) fn limits_suffice() -> Result<(), String> {
    LIMITS.iter().try_for_each(Limit::check)
}

/// The limits that are set, as a shell says them.
pub(crate) fn limits_set() -> Vec<String> {
    let set = LIMITS.iter().filter_map(|limit| {
        let current = limit.current()? / limit.unit;
        Some(format!("{} {current}", limit.option))
    });
    set.collect()
}

/// Why a store may have failed with these words for nothing but a limit that is set here.
pub(crate) fn limit_in(words: &str) -> Option<String> {
    // The words of the kernel's errors, and of those who pass them on.
    let signs: [(&[&str], u32); 4] = [
        (&["Too many open files"], 24),
        (&["annot allocate memory", "memory allocation of"], 12),
        (&["File too large", "signal: 25"], 27),
        (&["Resource temporarily unavailable"], 11),
    ];
    let says = |(texts, number): (&[&str], u32)| {
        texts.iter().any(|text| words.contains(text)) || quotes_error(words, number)
    };
    // Above this, a limit is no hint.
    let ample = [1024, 64 << 30, 64 << 30, 4096];
    let limits = LIMITS.iter().zip(signs).zip(ample);
    limits
        .filter(|((_, signs), _)| says(*signs))
        .find_map(|((limit, _), ample)| {
            let current = limit.current().filter(|current| *current < ample)?;
            (!limit.is_of_threads() || !Uid::effective().is_root()).then(|| {
                let (option, what) = (limit.option, limit.what);
                format!(
                    "`{option}` allows {} {what}: raise it",
                    current / limit.unit
                )
            })
        })
}
