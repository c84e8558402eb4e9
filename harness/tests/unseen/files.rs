//! Files of a store that is under test.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file to read and write it; makes it where it is missing.
pub(crate) fn open(dir: &Path, name: &str) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(dir.join(name))
}
