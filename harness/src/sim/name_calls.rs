//! Opening files, and changing names.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::fault::{Class, Fate, eio, no_space};
use super::nodes::{Ino, Node, Place};
use super::options::OpenOptions;
use super::path::Target;
use super::record::Call;
use super::state::{State, text};
use crate::tree::{Kind, Metadata};

impl State {
    pub(super) fn open(&mut self, at: Target<'_>, options: &OpenOptions) -> io::Result<Ino> {
        self.count()?;
        options.check()?;
        let found = if options.create_new {
            self.disk.lookup_itself(at)
        } else {
            self.disk.lookup(at)
        };
        let ino = match found {
            Ok(_) if options.create_new => return Err(Errno::EEXIST.into()),
            Ok(ino) => ino,
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.creates() => {
                let place = self.disk.place_to_create(at)?;
                self.create(place, &at.shown(), Kind::File, Metadata::default())?
            }
            Err(error) => return Err(error),
        };
        if matches!(self.disk.node(ino), Node::Special(_)) {
            return Err(Errno::ENXIO.into());
        }
        if options.writes() {
            let len = self.disk.file(ino)?.live.len();
            if options.truncate && len > 0 {
                self.set_len(ino, 0)?;
            }
        }
        Ok(ino)
    }

    fn create(
        &mut self,
        place: Place,
        path: &Path,
        kind: Kind,
        metadata: Metadata,
    ) -> io::Result<Ino> {
        let call = match &kind {
            Kind::Dir => Call::CreateDir,
            Kind::File => Call::Create,
            kind => Call::MakeNode { kind: kind.clone() },
        };
        self.begin(call, None, Some(path))?;
        let created = match self.faults.fate(Class::Create) {
            Fate::Well | Fate::Short => self.disk.create(place, kind, metadata),
            Fate::Eio => Err(eio()),
            Fate::NoSpace => Err(no_space()),
        };
        self.done(created)
    }

    pub(super) fn create_dir(&mut self, at: Target<'_>) -> io::Result<()> {
        self.count()?;
        let place = self.disk.place(at)?;
        self.create(place, &at.shown(), Kind::Dir, Metadata::default())
            .map(drop)
    }

    pub(super) fn make_node(
        &mut self,
        at: Target<'_>,
        kind: Kind,
        mode: Option<u32>,
    ) -> io::Result<()> {
        self.count()?;
        let metadata = Metadata {
            mode,
            ..Metadata::default()
        };
        let place = self.disk.place(at)?;
        self.create(place, &at.shown(), kind, metadata).map(drop)
    }

    /// The directory at this place.
    pub(super) fn find_dir(&self, at: Target<'_>) -> io::Result<Ino> {
        let ino = self.disk.lookup(at)?;
        self.disk.dir(ino)?;
        Ok(ino)
    }

    pub(super) fn read_dir(&mut self, at: Target<'_>) -> io::Result<Vec<String>> {
        self.count()?;
        if self.read_fails() {
            return Err(eio());
        }
        let ino = self.disk.lookup(at)?;
        let names = self.disk.dir(ino)?.live.keys();
        Ok(names.map(ToString::to_string).collect())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let call = Call::Link { to: text(to) };
        self.begin(call, None, Some(from))?;
        // The old name is looked up before the new one.
        let (from, to) = (Target::new(from), Target::new(to));
        let linked = self.disk.lookup_itself(from);
        let linked = linked.and_then(|_| self.disk.places(from, to));
        let linked = linked.and_then(|(from, to)| self.disk.link(&from, to));
        self.done(linked)
    }

    pub(super) fn rename(&mut self, from: Target<'_>, to: Target<'_>) -> io::Result<()> {
        let call = Call::Rename {
            to: text(&to.shown()),
        };
        self.begin(call, None, Some(&from.shown()))?;
        if self.faults.fate(Class::Rename) != Fate::Well {
            return self.done(Err(eio()));
        }
        let renamed = self.disk.places(from, to);
        let renamed = renamed.and_then(|(from, to)| self.disk.rename(from, to));
        self.done(renamed)
    }

    pub(super) fn remove(&mut self, at: Target<'_>, is_dir: bool) -> io::Result<()> {
        self.begin(Call::Remove, None, Some(&at.shown()))?;
        let place = self.disk.place(at);
        let removed = place.and_then(|place| self.disk.remove(place, is_dir));
        self.done(removed)
    }
}
