//! Paths: where they begin, and where they lead.

use std::borrow::Cow;
use std::io;
use std::path::{Component, Path};

use nix::errno::Errno;

use super::disk::Disk;
use super::nodes::{Ino, Node, Place, ROOT};

/// A path that begins in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) base: Ino,
    pub(super) path: &'a Path,
    /// What the directory was called when it was opened.
    pub(super) base_path: Option<&'a Path>,
}

impl<'a> Target<'a> {
    /// A path from the root on.
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            base: ROOT,
            path,
            base_path: None,
        }
    }

    /// The path as recordings show it.
    pub(super) fn shown(&self) -> Cow<'a, Path> {
        match self.base_path {
            Some(base) => Cow::Owned(base.join(self.path)),
            None => Cow::Borrowed(self.path),
        }
    }
}

impl Disk {
    /// What stands there.
    pub(super) fn lookup(&self, at: Target<'_>) -> io::Result<Ino> {
        let mut ino = at.base;
        for name in components(at.path)? {
            let dir = self.dir(ino)?;
            ino = *dir.live.get(name).ok_or(Errno::ENOENT)?;
        }
        Ok(ino)
    }

    /// The directory and the last name of a path. A directory that has been removed takes no names.
    pub(super) fn place(&self, at: Target<'_>) -> io::Result<Place> {
        let names = components(at.path)?;
        let (name, parents) = names.split_last().ok_or(Errno::EBUSY)?;
        let mut dir = at.base;
        for parent in parents {
            dir = *self.dir(dir)?.live.get(*parent).ok_or(Errno::ENOENT)?;
        }
        self.dir(dir)?;
        if dir != ROOT && dir == at.base && !self.has_name(dir) {
            return Err(Errno::ENOENT.into());
        }
        Ok(Place {
            dir,
            name: (*name).into(),
        })
    }

    /// Whether any directory names it.
    fn has_name(&self, ino: Ino) -> bool {
        self.nodes.iter().flatten().any(|node| match &**node {
            Node::Dir(dir) => dir.live.values().any(|named| *named == ino),
            Node::File(_) => false,
        })
    }

    pub(super) fn places(&self, from: Target<'_>, to: Target<'_>) -> io::Result<(Place, Place)> {
        Ok((self.place(from)?, self.place(to)?))
    }
}

/// The names in a path, from the root on.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_str().ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{}: names are UTF-8 here", path.display()),
                )
            })?),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}
