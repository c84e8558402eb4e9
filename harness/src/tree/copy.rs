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
        if found.is_linked {
            if let Some(first) = made.get(&found.identity) {
                return writer.link(first, found.name);
            }
            made.insert(found.identity, found.name.to_owned());
        }
        writer.make(found.name, &found.kind, Some(&found.metadata), |to| {
            copy_bytes(&found.open()?, to)
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
    for range in data_ranges(file, *len, *allocated)? {
        file.seek(SeekFrom::Start(range.start))?;
        to.seek(SeekFrom::Start(range.start))?;
        io::copy(&mut file.take(range.end - range.start), &mut to)?;
    }
    to.set_len(*len)
}
