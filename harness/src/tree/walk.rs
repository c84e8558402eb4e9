//! Reading a directory, node by node.

use std::fs::{self, DirEntry, File, OpenOptions};
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
    /// If it has other names, here or elsewhere.
    pub(crate) identity: Option<Identity>,
    /// An open file.
    pub(crate) file: Option<OpenFile>,
}

/// A file that is open for reading, and its size when it was opened.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) len: u64,
    /// How many bytes have space of their own; less than `len` if there are holes.
    pub(crate) allocated: u64,
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
        let found = find(&entry, &name).map_err(failed("read", &entry.path()))?;
        let is_dir = found.kind == Kind::Dir;
        visit(found)?;
        if is_dir {
            walk_below(&entry.path(), &name, visit)?;
        }
    }
    Ok(())
}

/// Looks before it opens: what is no file is not opened at all.
fn find<'a>(entry: &DirEntry, name: &'a Path) -> io::Result<Found<'a>> {
    let path = entry.path();
    let is_file = entry.file_type()?.is_file();
    let file = is_file.then(|| open(&path)).transpose()?;
    let (stat, node) = match &file {
        Some(file) => (file.metadata()?, Node::Open(file)),
        None => (entry.metadata()?, Node::At(&path)),
    };
    let kind = Kind::read(&path, &stat)?;
    if is_file != (kind == Kind::File) {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    let metadata = Metadata::read(node, &stat)?;
    let identity = (kind != Kind::Dir && stat.nlink() > 1).then(|| (stat.dev(), stat.ino()));
    let file = file.map(|file| OpenFile {
        file,
        len: stat.len(),
        allocated: stat.blocks() * 512,
    });
    Ok(Found {
        name,
        kind,
        metadata,
        identity,
        file,
    })
}

/// If it is a FIFO or a symbolic link by now, it is neither waited for nor followed.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}
