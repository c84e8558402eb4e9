//! Errors of the disk that are asked for, as a command line has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sim::{Fault, FaultKind};

/// How many operations fail while the disk is full, if that is not given.
const NO_SPACE_LASTS: u32 = 3;

/// The kinds of faults by name.
const KINDS: [(FaultKind, &str); 8] = [
    (FaultKind::Sync, "fsync"),
    (FaultKind::SyncDir, "fsync-dir"),
    (FaultKind::Write, "write"),
    (FaultKind::ShortWrite, "short-write"),
    (
        FaultKind::NoSpace {
            lasting: NO_SPACE_LASTS,
        },
        "no-space",
    ),
    (FaultKind::Create, "create"),
    (FaultKind::Rename, "rename"),
    (FaultKind::Read, "read"),
];

/// The errors that a call can be answered with. Numbers from 512 on are the kernel's own.
const ERRORS: [(i32, &str); 11] = [
    (libc::EIO, "EIO"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EINTR, "EINTR"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EROFS, "EROFS"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENFILE, "ENFILE"),
];

/// An error of the disk that is asked for: `fsync:3:EIO` is the third sync of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    pub(crate) fault: Fault,
    /// The calls after the first announcement are counted, not all of them.
    #[serde(default)]
    pub(crate) from_first_word: bool,
    /// What the call is answered with; not used where it is cut short.
    pub(crate) errno: i32,
}

impl PlannedFault {
    /// The n-th call that the fault applies to, counted from 0, with the usual error.
    pub(crate) fn usual(fault: Fault, from_first_word: bool) -> Self {
        let errno = match fault.kind {
            FaultKind::NoSpace { .. } => libc::ENOSPC,
            _ => libc::EIO,
        };
        Self {
            fault,
            from_first_word,
            errno,
        }
    }

    /// The same on the simulated file system.
    ///
    /// # Errors
    /// If it does not have such a fault: why.
    pub(crate) fn simulated(&self) -> Result<Fault, String> {
        if *self == Self::usual(self.fault, false) {
            return Ok(self.fault);
        }
        Err(format!(
            "`--fault {self}`: on the seam, calls are counted from the start, and each kind of fault has its \
             usual error; use --recorder trace"
        ))
    }
}

/// The name of an error, such as `EIO`.
pub(crate) fn error_name(errno: i32) -> String {
    let known = ERRORS.iter().find(|(known, _)| *known == errno);
    known.map_or_else(|| format!("error {errno}"), |(_, name)| (*name).to_owned())
}

/// The name of a kind of faults, such as `fsync`.
pub(crate) fn kind_name(kind: FaultKind) -> &'static str {
    let is_it = |(known, _): &&(FaultKind, &str)| {
        std::mem::discriminant(known) == std::mem::discriminant(&kind)
    };
    KINDS.iter().find(is_it).expect("all are there").1
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kind, after } = self.fault;
        let plus = if self.from_first_word { "+" } else { "" };
        write!(f, "{}:{plus}{}", kind_name(kind), after + 1)?;
        match kind {
            FaultKind::ShortWrite => Ok(()),
            FaultKind::NoSpace { lasting } => write!(f, ":{lasting}"),
            _ => write!(f, ":{}", error_name(self.errno)),
        }
    }
}

impl FromStr for PlannedFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number, last) = {
            let mut parts = text.split(':');
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(name), Some(number), last, None) => (name, number, last),
                _ => {
                    return Err(format!(
                        "'{text}' is not KIND:N or KIND:N:ERRNO, such as fsync:3:EIO"
                    ));
                }
            }
        };
        let known = KINDS.iter().find(|(_, known)| *known == name);
        let kind = known.map(|(kind, _)| *kind).ok_or_else(|| {
            let known = KINDS.map(|(_, name)| name).join(", ");
            format!("unknown kind of fault '{name}'; known are: {known}")
        })?;
        let from_first_word = number.starts_with('+');
        let counted = number.strip_prefix('+').unwrap_or(number).parse::<u32>();
        let after = counted.ok().and_then(|number| number.checked_sub(1));
        let after = after.ok_or_else(|| {
            format!("'{number}' is not the number of a call: 1 is the first, +1 the first after an announcement")
        })?;
        let planned = Self::usual(Fault { kind, after }, from_first_word);
        match (kind, last) {
            (_, None) => Ok(planned),
            (FaultKind::NoSpace { .. }, Some(lasting)) => {
                let counted = lasting.parse().ok().filter(|lasting| *lasting > 0);
                let lasting = counted.ok_or_else(|| {
                    format!("'{lasting}' is not a number of operations that fail: no-space:N:COUNT")
                })?;
                let kind = FaultKind::NoSpace { lasting };
                Ok(Self {
                    fault: Fault { kind, after },
                    ..planned
                })
            }
            (FaultKind::ShortWrite, Some(_)) => {
                Err("a short write has no error: short-write:N".to_owned())
            }
            (_, Some(name)) => {
                let known = ERRORS.iter().find(|(_, known)| *known == name);
                let errno = known.map(|(errno, _)| *errno).ok_or_else(|| {
                    let known = ERRORS.map(|(_, name)| name).join(", ");
                    format!("unknown error '{name}'; known are: {known}")
                })?;
                Ok(Self { errno, ..planned })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_shown() {
        for (text, shown) in [
            ("fsync:3:EIO", "fsync:3:EIO"),
            ("fsync:3", "fsync:3:EIO"),
            ("fsync-dir:+1:EINTR", "fsync-dir:+1:EINTR"),
            ("write:2:ENOSPC", "write:2:ENOSPC"),
            ("short-write:7", "short-write:7"),
            ("no-space:1", "no-space:1:3"),
            ("no-space:4:9", "no-space:4:9"),
            ("create:1", "create:1:EIO"),
            ("rename:1:EACCES", "rename:1:EACCES"),
            ("read:5", "read:5:EIO"),
        ] {
            let fault: PlannedFault = text.parse().expect(text);
            assert_eq!(fault.to_string(), shown);
            assert_eq!(shown.parse(), Ok(fault), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_fault_is_told() {
        for (text, complaint) in [
            ("fsync", "is not KIND:N"),
            ("fsync:1:EIO:2", "is not KIND:N"),
            ("sink:1", "unknown kind of fault 'sink'; known are: fsync,"),
            ("fsync:0", "1 is the first"),
            ("fsync:x", "'x' is not the number of a call"),
            ("fsync:1:ESINK", "unknown error 'ESINK'; known are: EIO,"),
            ("no-space:1:0", "no-space:N:COUNT"),
            ("short-write:1:EIO", "a short write has no error"),
        ] {
            let error = text.parse::<PlannedFault>().expect_err(text);
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn the_seam_has_the_usual_faults_only() {
        let parsed = |text: &str| text.parse::<PlannedFault>().expect(text);
        let (kind, after) = (FaultKind::Sync, 2);
        assert_eq!(parsed("fsync:3").simulated(), Ok(Fault { kind, after }));
        for text in ["fsync:+3", "fsync:3:EINTR"] {
            let error = parsed(text).simulated().expect_err(text);
            assert!(error.contains("--recorder trace"), "{error}");
        }
    }
}
