//! Copies of directories.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::holes::data_ranges;
use super::walk::{Identity, OpenFile, walk};
use super::writer::Writer;

/// Copies a directory with everything in it: see the module's documentation.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    let mut writer = Writer::new(to)?;
    let mut made: HashMap<Identity, PathBuf> = HashMap::new();
    let root = walk(from, &mut |found| {
        if let Some(identity) = found.identity {
            if let Some(first) = made.get(&identity) {
                return writer.link(first, found.name);
            }
            made.insert(identity, found.name.to_owned());
        }
        writer.make(found.name, &found.kind, Some(&found.metadata), |to| {
            found
                .file
                .as_ref()
                .map_or(Ok(()), |file| copy_bytes(file, to))
        })
    })?;
    writer.finish(Some(&root))
}

fn copy_bytes(from: &OpenFile, mut to: &File) -> io::Result<()> {
    let OpenFile {
        file,
        len,
        allocated,
    } = from;
    let mut file: &File = file;
    if allocated >= len {
        return io::copy(&mut file, &mut to).map(drop);
    }
    for range in data_ranges(file, *len, *allocated)? {
        file.seek(SeekFrom::Start(range.start))?;
        to.seek(SeekFrom::Start(range.start))?;
        io::copy(&mut file.take(range.end - range.start), &mut to)?;
    }
    to.set_len(*len)
}
