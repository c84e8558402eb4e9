//! A file system that follows a directory of a real one: what was done there is done here, so that this
//! one knows what is durable, and what a power cut leaves.
//!
//! [`Follower`] notes it in the words of a story; [`Past`](super::past::Past) keeps it as it is.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::act::{Act, Bytes};
use super::disk::Disk;
use super::nodes::{Ino, Node, Place};
use super::path::Target;
use super::profile::Profile;
use super::record::{Call, Operation, Recording};
use crate::tree::Kind;

/// A disk, and what was done to it.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) disk: Disk,
    recording: Recording,
}

impl Follower {
    /// Follows on from a disk.
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            recording: Recording::new(None),
        }
    }

    /// The recording, with the present as its last moment.
    pub(crate) fn recorded(mut self) -> (Recording, Disk) {
        self.recording.end(&self.disk, 0);
        (self.recording, self.disk)
    }

    /// Does what was done.
    ///
    /// # Errors
    /// If it cannot be done here: this disk is not what the directory was.
    pub(crate) fn act(&mut self, act: &Act) -> io::Result<()> {
        let operation = self.operation(act)?;
        self.recording.begin(&self.disk, 0, operation);
        self.disk.act(act)
    }

    fn sync_of(&self, path: &str, data_only: bool) -> io::Result<Call> {
        Ok(match self.disk.node(self.disk.stands_at(path)?) {
            Node::Dir(_) => Call::SyncDir,
            _ if data_only => Call::SyncData,
            _ => Call::SyncAll,
        })
    }

    fn operation(&self, act: &Act) -> io::Result<Operation> {
        let disk = &self.disk;
        let (call, path) = match act {
            Act::Create { path, kind, .. } => (
                match kind {
                    Kind::Dir => Call::CreateDir,
                    Kind::File => Call::Create,
                    kind => Call::MakeNode { kind: kind.clone() },
                },
                path,
            ),
            Act::Link { from, to } => (Call::Link { to: shown(to) }, from),
            Act::Rename { from, to } => (Call::Rename { to: shown(to) }, from),
            Act::Arrive { path, .. } => (Call::Arrive, path),
            Act::Exchange { one, two } => (Call::Exchange { with: shown(two) }, one),
            Act::Remove { path } => (Call::Remove, path),
            Act::Write {
                path,
                offset,
                bytes,
            } => {
                let range = *offset..offset + bytes.0.len() as u64;
                (Call::Write { range }, path)
            }
            Act::SetLen { path, len } => (Call::SetLen { len: *len }, path),
            Act::Punch { path, offset, len } => {
                let range = *offset..offset.saturating_add(*len);
                (Call::PunchHole { range }, path)
            }
            Act::Set { path, setting } => (
                Call::Set {
                    setting: setting.clone(),
                },
                path,
            ),
            Act::Sync { path, data_only }
            | Act::SyncFailed {
                path, data_only, ..
            } => {
                let call = self.sync_of(path, *data_only)?;
                (call, path)
            }
            Act::Answered { told } => {
                let told = told.clone();
                return Ok(pathless(Call::Answered { told }));
            }
            Act::SyncEverything => return Ok(pathless(Call::SyncEverything)),
        };
        let failed = match act {
            Act::SyncFailed { told, .. } => Some(told.clone()),
            _ => None,
        };
        Ok(Operation {
            call,
            ino: disk.stands_at(path).ok(),
            path: Some(shown(path)),
            failed,
        })
    }
}

/// An operation on nothing that has a name.
fn pathless(call: Call) -> Operation {
    Operation {
        call,
        ino: None,
        path: None,
        failed: None,
    }
}

/// As stories show a path.
fn shown(path: &str) -> String {
    if path.is_empty() {
        ".".to_owned()
    } else {
        path.to_owned()
    }
}

impl Disk {
    /// What stands under a path; a symbolic link itself.
    pub(crate) fn stands_at(&self, path: &str) -> io::Result<Ino> {
        self.lookup_itself(Target::new(Path::new(path)))
    }

    fn place_at(&self, path: &str) -> io::Result<Place> {
        self.place(Target::new(Path::new(path)))
    }

    /// What these acts make of an empty disk, all of it durable.
    ///
    /// # Errors
    /// If they cannot be done here.
    pub(crate) fn prepared(profile: Profile, acts: &[Act]) -> io::Result<Self> {
        let mut disk = Self::new(profile);
        if !acts.is_empty() {
            for act in acts {
                disk.act(act)?;
            }
            disk.settle();
        }
        Ok(disk)
    }

    /// Does what was done in a directory.
    ///
    /// # Errors
    /// If it cannot be done here.
    pub(crate) fn act(&mut self, act: &Act) -> io::Result<()> {
        match act {
            Act::Create {
                path,
                kind,
                metadata,
            } => {
                let place = self.place_at(path)?;
                self.create(place, kind.clone(), metadata.clone())?;
            }
            Act::Link { from, to } => {
                let (from, to) = (self.place_at(from)?, self.place_at(to)?);
                self.link(&from, to)?;
            }
            Act::Rename { from, to } => {
                let (from, to) = (self.place_at(from)?, self.place_at(to)?);
                self.rename(from, to)?;
            }
            Act::Arrive {
                path,
                durable,
                pending,
            } => {
                let mut from = Self::new(self.profile);
                from.clock = self.clock;
                for act in durable {
                    from.act(act)?;
                }
                from.settle();
                for act in pending {
                    from.act(act)?;
                }
                let arriving = from.stands_at(Act::ARRIVING)?;
                let place = self.place_at(path)?;
                self.take_in(from, arriving, place);
            }
            Act::Exchange { one, two } => {
                let (one, two) = (self.place_at(one)?, self.place_at(two)?);
                self.exchange(&one, &two)?;
            }
            Act::Remove { path } => {
                let is_dir = matches!(self.node(self.stands_at(path)?), Node::Dir(_));
                self.remove(self.place_at(path)?, is_dir)?;
            }
            Act::Write {
                path,
                offset,
                bytes: Bytes(bytes),
            } => {
                let file = self.file_at(path)?;
                self.write(file, bytes, *offset);
            }
            Act::SetLen { path, len } => {
                let file = self.file_at(path)?;
                self.set_len(file, *len);
            }
            Act::Punch { path, offset, len } => {
                let file = self.file_at(path)?;
                self.punch_hole(file, *offset..offset.saturating_add(*len));
            }
            Act::Set { path, setting } => {
                let node = self.stands_at(path)?;
                self.set(node, setting.clone());
            }
            Act::Sync { path, data_only } => {
                let node = self.stands_at(path)?;
                match self.node(node) {
                    Node::Dir(_) => self.sync_dir(node),
                    Node::File(_) => self.sync_file(node, *data_only),
                    Node::Special(_) => {}
                }
            }
            Act::SyncFailed { path, chance, .. } => {
                let node = self.stands_at(path)?;
                match self.node(node) {
                    Node::Dir(_) => self.fail_sync_dir(),
                    Node::File(_) => self.fail_sync_unseen(node, *chance),
                    Node::Special(_) => {}
                }
            }
            Act::Answered { .. } => {
                self.tick();
            }
            Act::SyncEverything => {
                self.tick();
                self.settle();
            }
        }
        Ok(())
    }

    fn file_at(&self, path: &str) -> io::Result<Ino> {
        let node = self.stands_at(path)?;
        match self.node(node) {
            Node::File(_) => Ok(node),
            Node::Dir(_) | Node::Special(_) => Err(Errno::EINVAL.into()),
        }
    }
}
