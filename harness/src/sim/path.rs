//! Paths: where they begin, and where they lead.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path};

use nix::errno::Errno;

use super::disk::Disk;
use super::nodes::{Ino, Node, Place, ROOT};
use crate::tree::Kind;

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

/// As many symbolic links as Linux follows on one path.
const LINKS_MAX: u32 = 40;

impl Disk {
    /// What stands there, or where a symbolic link there leads.
    pub(super) fn lookup(&self, at: Target<'_>) -> io::Result<Ino> {
        self.walk(at.base, &components(at.path)?, true, &mut 0)
    }

    /// What stands there, even if it is a symbolic link.
    pub(super) fn lookup_itself(&self, at: Target<'_>) -> io::Result<Ino> {
        self.walk(at.base, &components(at.path)?, false, &mut 0)
    }

    /// The directory and the last name of a path. A directory that has been removed takes no names.
    pub(super) fn place(&self, at: Target<'_>) -> io::Result<Place> {
        let names = components(at.path)?;
        self.place_in(at.base, &names, &mut 0)
    }

    pub(super) fn places(&self, from: Target<'_>, to: Target<'_>) -> io::Result<(Place, Place)> {
        Ok((self.place(from)?, self.place(to)?))
    }

    /// Where open(2) creates what is missing: at the end of symbolic links that lead nowhere.
    pub(super) fn place_to_create(&self, at: Target<'_>) -> io::Result<Place> {
        let mut place = self.place(at)?;
        let mut links = 0;
        while let Some(target) = self.find(&place)?.and_then(|ino| self.target(ino)) {
            follow_one_more(&mut links)?;
            let base = base_of(target, place.dir);
            place = self.place_in(base, &target_components(target)?, &mut links)?;
        }
        Ok(place)
    }

    fn place_in(&self, base: Ino, names: &[&str], links: &mut u32) -> io::Result<Place> {
        let (name, parents) = names.split_last().ok_or(Errno::EBUSY)?;
        let dir = self.walk(base, parents, true, links)?;
        self.dir(dir)?;
        if dir != ROOT && dir == base && !self.has_name(dir) {
            return Err(Errno::ENOENT.into());
        }
        Ok(Place {
            dir,
            name: (*name).into(),
        })
    }

    /// Follows names from a directory on; what the last one names is followed only if `to_the_end`.
    fn walk(
        &self,
        base: Ino,
        names: &[&str],
        to_the_end: bool,
        links: &mut u32,
    ) -> io::Result<Ino> {
        let mut ino = base;
        for (index, name) in names.iter().enumerate() {
            let dir = self.dir(ino)?;
            let found = match *name {
                PARENT => self.parent(ino)?,
                name => *dir.live.get(name).ok_or(Errno::ENOENT)?,
            };
            let is_last = index + 1 == names.len();
            ino = match self.target(found) {
                Some(target) if to_the_end || !is_last => {
                    follow_one_more(links)?;
                    let base = base_of(target, ino);
                    self.walk(base, &target_components(target)?, true, links)?
                }
                _ => found,
            };
        }
        Ok(ino)
    }

    /// Where a symbolic link points.
    pub(super) fn target(&self, ino: Ino) -> Option<&Path> {
        match self.node(ino) {
            Node::Special(special) => match &special.kind {
                Kind::Symlink(target) => Some(target),
                _ => None,
            },
            Node::File(_) | Node::Dir(_) => None,
        }
    }

    fn parent(&self, ino: Ino) -> io::Result<Ino> {
        if ino == ROOT {
            return Ok(ROOT);
        }
        let names = |node: &Node| match node {
            Node::Dir(dir) => dir.live.values().any(|named| *named == ino),
            Node::File(_) | Node::Special(_) => false,
        };
        let mut nodes = self.nodes.iter();
        let found = nodes.position(|node| node.as_deref().is_some_and(names));
        found.ok_or_else(|| Errno::ENOENT.into())
    }

    /// Whether any directory names it.
    fn has_name(&self, ino: Ino) -> bool {
        self.parent(ino).is_ok()
    }
}

/// Where the target of a symbolic link begins that stands in `dir`.
fn base_of(target: &Path, dir: Ino) -> Ino {
    if target.is_absolute() { ROOT } else { dir }
}

fn follow_one_more(links: &mut u32) -> io::Result<()> {
    *links += 1;
    if *links > LINKS_MAX {
        return Err(Errno::ELOOP.into());
    }
    Ok(())
}

const PARENT: &str = "..";

/// The names in a path, from the root on. What follows a name and `..` is taken for nothing, unlike in a
/// real file system: nothing is looked up.
fn components(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(as_text(name, path)?),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

/// The names in a symbolic link, `..` among them: what comes before it may be another link.
fn target_components(target: &Path) -> io::Result<Vec<&str>> {
    let named = target.components().filter_map(|component| match component {
        Component::Normal(name) => Some(as_text(name, target)),
        Component::ParentDir => Some(Ok(PARENT)),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.collect()
}

fn as_text<'a>(name: &'a OsStr, path: &Path) -> io::Result<&'a str> {
    name.to_str().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{}: names are UTF-8 here", path.display()),
        )
    })
}
