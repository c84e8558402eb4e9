//! Whether a file system can be mounted here: tried, not guessed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::geteuid;

use super::mounted::Mounted;
use crate::disk::Site;
use crate::scratch::Scratch;
use crate::sim::{Disk, Profile};
use crate::store::Silent;

/// Mounts one in a directory below `base`, and takes it down again.
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn available(base: &Path) -> Result<(), String> {
    let tried = || -> io::Result<()> {
        let scratch = Scratch::create(base)?;
        let site = site(scratch.path())?;
        let dir = scratch.path().join("mounted");
        fs::create_dir(&dir)?;
        let disk = Disk::new(Profile::Strict);
        let mounted = Mounted::new(site.as_ref(), &dir, disk, Arc::new(Silent), None)?;
        fs::write(dir.join("file"), "bytes")?;
        mounted.end().map(drop)
    };
    tried().map_err(|error| error.to_string())
}

/// Where a file system is mounted so that nothing else sees it. `None`: an ordinary user has no such place.
pub(crate) fn site(base: &Path) -> io::Result<Option<Site>> {
    if geteuid().is_root() {
        Site::enter(base).map(Some)
    } else {
        Ok(None)
    }
}
