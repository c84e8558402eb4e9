//! The times of nodes, as programs see them. They are kept in memory: nothing is judged by them.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::sim::Ino;

/// What stat(2) tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) accessed: SystemTime,
    /// Of the bytes, or of the names in a directory.
    pub(super) modified: SystemTime,
    /// Of anything.
    pub(super) changed: SystemTime,
}

/// The times of those nodes that have been used.
#[derive(Debug)]
pub(super) struct Clock {
    began: SystemTime,
    times: HashMap<Ino, Times>,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            began: SystemTime::now(),
            times: HashMap::new(),
        }
    }

    /// Of a node that has these times, if it was not used yet.
    pub(super) fn of(&self, ino: Ino, kept: Option<SystemTime>) -> Times {
        let kept = kept.unwrap_or(self.began);
        let unused = Times {
            accessed: kept,
            modified: kept,
            changed: kept,
        };
        self.times.get(&ino).copied().unwrap_or(unused)
    }

    fn at(&mut self, ino: Ino, now: SystemTime) -> &mut Times {
        let began = self.began;
        let times = self.times.entry(ino).or_insert(Times {
            accessed: began,
            modified: began,
            changed: began,
        });
        times.changed = now;
        times
    }

    /// A node is new.
    pub(super) fn made(&mut self, ino: Ino) {
        let now = SystemTime::now();
        *self.at(ino, now) = Times {
            accessed: now,
            modified: now,
            changed: now,
        };
    }

    /// Its bytes have changed, or the names in it.
    pub(super) fn modified(&mut self, ino: Ino) {
        let now = SystemTime::now();
        self.at(ino, now).modified = now;
    }

    /// Something else of it has changed.
    pub(super) fn changed(&mut self, ino: Ino) {
        self.at(ino, SystemTime::now());
    }

    /// A program sets times.
    pub(super) fn set(
        &mut self,
        ino: Ino,
        accessed: Option<SystemTime>,
        modified: Option<SystemTime>,
    ) {
        let times = self.at(ino, SystemTime::now());
        times.accessed = accessed.unwrap_or(times.accessed);
        times.modified = modified.unwrap_or(times.modified);
    }
}
