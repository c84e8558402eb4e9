//! The crash kinds, each once.

use super::contract::Kind;
use super::disk::OnDisk;
use super::fault::FAULT;
use super::kill::Kill;
use super::power::POWER;
use super::rot::ROT;
use super::syscall::Syscall;
use crate::crash_kind::CrashKind;

/// All crash kinds, in the order of reports.
pub(crate) static REGISTRY: [&dyn Kind; 6] = [&Kill, &Syscall, &POWER, &OnDisk, &FAULT, &ROT];

/// What a crash kind does.
pub(crate) fn of(crash: CrashKind) -> &'static dyn Kind {
    let found = REGISTRY.into_iter().find(|kind| kind.id() == crash);
    found.expect("every name has its kind")
}

impl CrashKind {
    /// What it does, finds, and cannot find.
    pub fn description(self) -> &'static str {
        of(self).describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_kind_and_every_kind_its_name() {
        let names: Vec<CrashKind> = REGISTRY.iter().map(|kind| kind.id()).collect();
        assert_eq!(names, CrashKind::ALL);
    }
}
