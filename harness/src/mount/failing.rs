//! Requests that the disk fails at.

use nix::errno::Errno;

use super::live::{Done, Live};
use crate::injection::{Class, Effect, Injected};
use crate::sim::{Act, Ino, Node};

impl Live {
    /// What a request meets, if the disk fails at it.
    fn meet(&mut self, class: Class, offset: Option<u64>) -> Done<Option<Injected>> {
        let Some(injection) = &mut self.injection else {
            return Ok(None);
        };
        let has_spoken = match self.marks.has_spoken() {
            Ok(has_spoken) => has_spoken,
            Err(error) => return Err(self.refuse(error)),
        };
        let met = injection.meet(class, offset, has_spoken);
        if met.is_some() {
            self.faulted.get_or_insert(self.past.acts().len());
        }
        Ok(met)
    }

    /// Notes what a request came to, and how it is answered.
    fn answered(&mut self, request: &str, met: &Injected) -> Done<()> {
        let told = format!("{request}: {}", met.told());
        self.act(Act::Answered { told })?;
        match met.effect {
            Effect::Error(errno) => Err(Errno::from_raw(errno)),
            Effect::Short(_) => Ok(()),
        }
    }

    /// Fails a request of a class, if it is to fail. `told`: what it is, in words.
    pub(super) fn may_fail(&mut self, class: Class, told: &dyn Fn(&Self) -> String) -> Done<()> {
        match self.meet(class, None)? {
            Some(met) => {
                let told = told(self);
                self.answered(&told, &met)
            }
            None => Ok(()),
        }
    }

    /// The name of a node for a story.
    pub(super) fn shown(&self, ino: Ino) -> String {
        match self.path(ino) {
            Some(path) if path.is_empty() => ".".to_owned(),
            Some(path) => path,
            None => "a file without a name".to_owned(),
        }
    }

    fn len(&self, ino: Ino) -> u64 {
        match self.node(ino) {
            Node::File(file) => file.live.len(),
            Node::Dir(_) | Node::Special(_) => 0,
        }
    }

    /// Writes, and returns the number of bytes that were written.
    pub(super) fn write_or_fail(&mut self, ino: Ino, offset: u64, bytes: &[u8]) -> Done<usize> {
        let len = bytes.len() as u64;
        let class = Class::Write {
            grows: offset.saturating_add(len) > self.len(ino),
            bytes: len,
        };
        let mut count = bytes.len();
        if let Some(met) = self.meet(class, Some(offset))? {
            let request = format!("write({}, {len} bytes at {offset})", self.shown(ino));
            self.answered(&request, &met)?;
            if let Effect::Short(bytes) = met.effect {
                count = usize::try_from(bytes).expect("a part of what is in memory");
            }
        }
        self.write(ino, offset, &bytes[..count])?;
        Ok(count)
    }

    /// Sets a length, which may take room.
    pub(super) fn resize_or_fail(&mut self, ino: Ino, len: u64) -> Done<()> {
        if len > self.len(ino) {
            self.may_fail(Class::Grow, &|live| {
                format!("truncate({}, to {len} bytes)", live.shown(ino))
            })?;
        }
        self.set_len(ino, len)
    }

    pub(super) fn sync_or_fail(&mut self, ino: Ino, data_only: bool) -> Done<()> {
        let (class, name) = match self.node(ino) {
            Node::Dir(_) => (Class::SyncDir, "fsync"),
            _ if data_only => (Class::Sync, "fdatasync"),
            _ => (Class::Sync, "fsync"),
        };
        let Some(met) = self.meet(class, None)? else {
            return self.sync(ino, data_only);
        };
        match (self.path(ino), met.effect) {
            (Some(path), Effect::Error(errno)) if met.drops_pages() => {
                self.act(Act::SyncFailed {
                    path,
                    data_only,
                    told: met.told(),
                    chance: met.chance,
                })?;
                Err(Errno::from_raw(errno))
            }
            _ => {
                let request = format!("{name}({})", self.shown(ino));
                self.answered(&request, &met)
            }
        }
    }
}
