//! Reading a directory, node by node.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::failed;
use super::kind::Kind;
use super::metadata::{Metadata, Node};

/// Device and number of a node: the same under each of its names.
pub(crate) type Identity = (u64, u64);

/// A node, and how it was found.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// Relative to the directory where the walk began.
    pub(crate) name: &'a Path,
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
    pub(crate) identity: Identity,
    /// It is no directory and has other names, here or elsewhere.
    pub(crate) is_linked: bool,
    /// Of a file, in bytes.
    pub(crate) len: u64,
    path: &'a Path,
}

/// A file that is open for reading, and its size when it was opened.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) len: u64,
    /// How many bytes have space of their own; less than `len` if there are holes.
    pub(crate) allocated: u64,
}

impl Found<'_> {
    /// Opens a file.
    pub(crate) fn open(&self) -> io::Result<OpenFile> {
        let replaced = || io::Error::other("it was replaced meanwhile");
        let open = || -> io::Result<OpenFile> {
            let file = open(self.path)?;
            let stat = file.metadata()?;
            if !stat.is_file() || identity(&stat) != self.identity {
                return Err(replaced());
            }
            Ok(OpenFile {
                file,
                len: stat.len(),
                allocated: stat.blocks() * 512,
            })
        };
        open().map_err(failed("read", self.path))
    }
}

/// Shows every node below a directory to `visit`, a directory before what is in it. The result is the
/// metadata of the directory itself.
pub(crate) fn walk(
    dir: &Path,
    visit: &mut dyn FnMut(Found<'_>) -> io::Result<()>,
) -> io::Result<Metadata> {
    walk_below(dir, Path::new(""), visit)?;
    let stat = fs::metadata(dir).map_err(failed("look at", dir))?;
    Metadata::read(Node::At(dir), &stat).map_err(failed("read the attributes of", dir))
}

fn walk_below(
    dir: &Path,
    relative: &Path,
    visit: &mut dyn FnMut(Found<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let entry = entry.map_err(failed("read", dir))?;
        let name = relative.join(entry.file_name());
        let path = entry.path();
        let found = find(&path, &name)?;
        let is_dir = found.kind == Kind::Dir;
        visit(found)?;
        if is_dir {
            walk_below(&path, &name, visit)?;
        }
    }
    Ok(())
}

/// Looks at one node. Nothing is opened: that could block, or have an effect.
pub(crate) fn find<'a>(path: &'a Path, name: &'a Path) -> io::Result<Found<'a>> {
    let find = || -> io::Result<Found<'a>> {
        let stat = fs::symlink_metadata(path)?;
        let kind = Kind::read(path, &stat)?;
        Ok(Found {
            name,
            metadata: Metadata::read(Node::At(path), &stat)?,
            identity: identity(&stat),
            is_linked: kind != Kind::Dir && stat.nlink() > 1,
            len: stat.len(),
            kind,
            path,
        })
    };
    find().map_err(failed("read", path))
}

fn identity(stat: &fs::Metadata) -> Identity {
    (stat.dev(), stat.ino())
}

/// If it is a FIFO or a symbolic link by now, it is neither waited for nor followed.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}
