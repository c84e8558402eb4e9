//! Reads, writes, lengths and syncs of an open file.

use std::io;
use std::panic::Location;

use nix::errno::Errno;
use rand::RngExt;

use super::fault::{Class, Fate, eio, no_space};
use super::nodes::Ino;
use super::record::Call;
use super::state::State;

/// How often a write that fails has written everything.
const WHOLE_ALL_THE_SAME: f64 = 0.25;

impl State {
    pub(super) fn read(&mut self, ino: Ino, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.count()?;
        if self.read_fails() {
            return Err(eio());
        }
        Ok(self.disk.file(ino)?.live.read_at(bytes, offset))
    }

    pub(super) fn write(&mut self, ino: Ino, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let call = Call::Write { range: offset..end };
        self.begin(call, Some(ino), None)?;
        let grows = end > self.disk.file(ino)?.live.len();
        // Where every write goes to a new place, every write takes space.
        let grows = grows || !self.disk.profile.has_one_journal();
        let written = match self.faults.fate(Class::Write { grows }) {
            Fate::Well => Ok(bytes.len()),
            Fate::Short => Ok(self.part(bytes.len()).max(1)),
            // What is left of the space ends anywhere, also within a small write.
            Fate::NoSpace if self.chance.random_bool(0.5) => match self.part(bytes.len()) {
                0 => Err(no_space()),
                part => Ok(part),
            },
            Fate::NoSpace => Err(no_space()),
            Fate::Eio => {
                // An error does not say that anything is missing.
                let is_whole = self.chance.random_bool(WHOLE_ALL_THE_SAME);
                let part = if is_whole {
                    bytes.len()
                } else {
                    self.part(bytes.len())
                };
                self.disk.write(ino, &bytes[..part], offset);
                Err(eio())
            }
        };
        let written = written.map(|len| len.min(bytes.len()));
        if let Ok(len) = written {
            self.disk.write(ino, &bytes[..len], offset);
            if let Some(recording) = &mut self.recording {
                recording.wrote(len as u64);
            }
        }
        self.done(written)
    }

    /// Less than the whole.
    fn part(&mut self, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        self.chance.random_range(0..len)
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        self.begin(Call::SetLen { len }, Some(ino), None)?;
        let grows = len > self.disk.file(ino)?.live.len();
        if grows && self.faults.fate(Class::Grow) == Fate::NoSpace {
            return self.done(Err(no_space()));
        }
        self.disk.set_len(ino, len);
        Ok(())
    }

    /// Sizes stay as they are.
    pub(super) fn punch_hole(&mut self, ino: Ino, offset: u64, len: u64) -> io::Result<()> {
        let end = offset.checked_add(len).filter(|_| len > 0);
        let range = offset..end.ok_or(Errno::EINVAL)?;
        let call = Call::PunchHole {
            range: range.clone(),
        };
        self.begin(call, Some(ino), None)?;
        self.disk.punch_hole(ino, range);
        Ok(())
    }

    pub(super) fn sync(
        &mut self,
        ino: Ino,
        call: Call,
        place: &'static Location<'static>,
    ) -> io::Result<()> {
        let data_only = call == Call::SyncData;
        let left_out = self
            .filter
            .as_ref()
            .is_some_and(|(filter, role)| filter.leaves_out(&call, *role, place));
        let is_dir = call == Call::SyncDir;
        self.begin(call, Some(ino), None)?;
        if left_out {
            return Ok(());
        }
        let class = if is_dir { Class::SyncDir } else { Class::Sync };
        if self.faults.fate(class) != Fate::Well {
            if is_dir {
                self.disk.fail_sync_dir();
            } else {
                self.disk.fail_sync(ino, &mut self.chance);
            }
            return self.done(Err(eio()));
        }
        if is_dir {
            self.disk.sync_dir(ino);
        } else {
            self.disk.sync_file(ino, data_only);
        }
        Ok(())
    }
}
