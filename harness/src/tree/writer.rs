//! Writing a directory, node by node.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::error::failed;
use super::kind::Kind;
use super::metadata::{Metadata, Node};

/// A directory that is being written. Names are relative to it; what has one of them is replaced.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    /// Directories get their metadata when everything is in them.
    dirs: Vec<(PathBuf, Metadata)>,
}

impl Writer {
    /// Creates the directory and its ancestors, where they are missing.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            dirs: Vec::new(),
        })
    }

    /// Makes a node in a directory that is there. A file gets its bytes from `fill`.
    pub(crate) fn make(
        &mut self,
        name: &Path,
        kind: &Kind,
        metadata: Option<&Metadata>,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.dir.join(name);
        let path = path.as_path();
        match kind {
            Kind::Dir => {
                create_dir(path).map_err(failed("create", path))?;
                let metadata = metadata.cloned();
                self.dirs
                    .extend(metadata.map(|metadata| (path.to_owned(), metadata)));
                return Ok(());
            }
            Kind::File => {
                let create = || OpenOptions::new().write(true).create_new(true).open(path);
                let created = anew(path, create).map_err(failed("create", path))?;
                fill(&created).map_err(failed("write", path))?;
                return restore(metadata, Node::Open(&created), path);
            }
            Kind::Symlink(target) => anew(path, || symlink(target, path)),
            Kind::Fifo => anew(path, || special(path, FileType::Fifo, 0)),
            Kind::Socket => anew(path, || special(path, FileType::Socket, 0)),
            Kind::Device { character, number } => {
                let kind = match character {
                    true => FileType::CharacterDevice,
                    false => FileType::BlockDevice,
                };
                anew(path, || special(path, kind, *number))
            }
        }
        .map_err(failed("create", path))?;
        restore(metadata, Node::At(path), path)
    }

    /// Gives a node that was made another name.
    pub(crate) fn link(&self, first: &Path, name: &Path) -> io::Result<()> {
        let (first, path) = (self.dir.join(first), self.dir.join(name));
        anew(&path, || fs::hard_link(&first, &path)).map_err(failed("link", &path))
    }

    /// Everything is made: directories get their metadata, the innermost first.
    pub(crate) fn finish(self, root: Option<&Metadata>) -> io::Result<()> {
        for (path, metadata) in self.dirs.iter().rev() {
            restore(Some(metadata), Node::At(path), path)?;
        }
        restore(root, Node::At(&self.dir), &self.dir)
    }
}

fn restore(metadata: Option<&Metadata>, node: Node<'_>, path: &Path) -> io::Result<()> {
    metadata.map_or(Ok(()), |metadata| {
        let restored = metadata.restore(node);
        restored.map_err(failed("restore the attributes of", path))
    })
}

fn create_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_dir = fs::symlink_metadata(path)?.is_dir();
            if is_dir { Ok(()) } else { Err(error) }
        }
        created => created,
    }
}

/// Makes a node, in place of what has its name.
fn anew<T>(path: &Path, create: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

fn special(path: &Path, kind: FileType, number: u64) -> io::Result<()> {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o666), number)?;
    Ok(())
}
