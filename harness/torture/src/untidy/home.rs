//! Where the log is.

use std::io;
use std::path::{Path, PathBuf};

use plugpull::SubjectError;
use plugpull::sim::FileSystem;

/// The names that the log's directory has in turn.
pub(super) const HOMES: [&str; 2] = ["log", "moved"];

/// Where the log is: under one of its names, or nowhere yet.
pub(super) fn home(fs: &dyn FileSystem, dir: &Path) -> Result<PathBuf, SubjectError> {
    let names = match fs.read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut found = HOMES
        .iter()
        .filter(|home| names.iter().any(|name| name == *home));
    let home = found.next().unwrap_or(&HOMES[0]);
    if found.next().is_some() {
        return Err(format!("there are two directories, {HOMES:?}, and only one was made").into());
    }
    Ok(dir.join(home))
}
