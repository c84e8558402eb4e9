//! What belongs to a node besides its kind and its bytes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The bits that chmod(2) sets.
const MODE_BITS: u32 = 0o7777;

/// A node's metadata. What is `None` is left as a new node has it.
///
/// Two are equal if all but the times are: see the module's documentation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    /// Permissions, and the three bits above them.
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
    /// Kept and restored, not compared.
    pub(crate) modified: Option<SystemTime>,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        (self.mode, self.owner, self.group) == (other.mode, other.owner, other.group)
            && self.xattrs == other.xattrs
    }
}

impl Eq for Metadata {}

impl Hash for Metadata {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.mode, self.owner, self.group, &self.xattrs).hash(hasher);
    }
}

/// The way to a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    /// It is open.
    Open(&'a File),
    /// By its path. If that is a symbolic link, the link itself is meant.
    At(&'a Path),
}

impl Metadata {
    /// Of a node, with what fstat(2) or lstat(2) told of it.
    pub(super) fn read(node: Node<'_>, stat: &fs::Metadata) -> io::Result<Self> {
        Ok(Self {
            mode: Some(stat.mode() & MODE_BITS),
            owner: Some(stat.uid()),
            group: Some(stat.gid()),
            modified: stat.modified().ok(),
            xattrs: node.xattrs()?,
        })
    }

    /// Gives a new node this metadata.
    ///
    /// Owners first, as a change of them takes bits of the mode and capabilities away; the mode after the
    /// attributes, as a file that cannot be written takes none of an ordinary user; times at last.
    pub(super) fn restore(&self, node: Node<'_>) -> io::Result<()> {
        let fresh = node.stat()?;
        let owner = self.owner.filter(|owner| *owner != fresh.uid());
        let group = self.group.filter(|group| *group != fresh.gid());
        let chowned = owner.is_some() || group.is_some();
        if chowned {
            node.chown(owner, group)?;
        }
        for (name, value) in &self.xattrs {
            node.set_xattr(name, value)?;
        }
        if let Some(mode) = self.mode
            && !fresh.file_type().is_symlink()
            && (chowned || !self.xattrs.is_empty() || mode != fresh.mode() & MODE_BITS)
        {
            node.chmod(mode)?;
        }
        match self.modified {
            Some(modified) => node.set_modified(modified),
            None => Ok(()),
        }
    }
}

/// Whether an attribute belongs to the state of a directory, and not to the system's policy.
fn belongs(name: &OsStr) -> bool {
    !name.as_bytes().starts_with(b"security.") || name == "security.capability"
}

impl Node<'_> {
    fn stat(self) -> io::Result<fs::Metadata> {
        match self {
            Self::Open(file) => file.metadata(),
            Self::At(path) => fs::symlink_metadata(path),
        }
    }

    fn chown(self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        match self {
            Self::Open(file) => fchown(file, owner, group),
            Self::At(path) => lchown(path, owner, group),
        }
    }

    /// Not for symbolic links, whose modes are all the same.
    fn chmod(self, mode: u32) -> io::Result<()> {
        let permissions = Permissions::from_mode(mode);
        match self {
            Self::Open(file) => file.set_permissions(permissions),
            Self::At(path) => fs::set_permissions(path, permissions),
        }
    }

    fn set_modified(self, modified: SystemTime) -> io::Result<()> {
        let omit = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        let times = Timestamps {
            last_access: omit,
            last_modification: timespec(modified),
        };
        match self {
            Self::Open(file) => rustix::fs::futimens(file, &times)?,
            Self::At(path) => {
                rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    fn xattrs(self) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
        let mut found = BTreeMap::new();
        let names = sized(|buffer| match self {
            Self::Open(file) => rustix::fs::flistxattr(file, buffer),
            Self::At(path) => rustix::fs::llistxattr(path, buffer),
        });
        let names = match names {
            Ok(names) => names,
            // A file system without attributes has none.
            Err(Errno::OPNOTSUPP) => return Ok(found),
            Err(error) => return Err(error.into()),
        };
        let names = names.split(|byte| *byte == 0).map(OsStr::from_bytes);
        for name in names.filter(|name| !name.is_empty() && belongs(name)) {
            let value = sized(|buffer| match self {
                Self::Open(file) => rustix::fs::fgetxattr(file, name, buffer),
                Self::At(path) => rustix::fs::lgetxattr(path, name, buffer),
            });
            match value {
                Ok(value) => drop(found.insert(name.to_owned(), value)),
                // Removed meanwhile.
                Err(Errno::NODATA) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    fn set_xattr(self, name: &OsStr, value: &[u8]) -> io::Result<()> {
        let flags = XattrFlags::empty();
        match self {
            Self::Open(file) => rustix::fs::fsetxattr(file, name, value, flags)?,
            Self::At(path) => rustix::fs::lsetxattr(path, name, value, flags)?,
        }
        Ok(())
    }
}

/// What a call fills a buffer with that is large enough.
fn sized(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match call(&mut small) {
        Ok(len) => return Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    // The largest that Linux allows.
    let mut large = vec![0; 1 << 16];
    let len = call(&mut large)?;
    large.truncate(len);
    Ok(large)
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "far beyond what any file system stores"
)]
fn timespec(time: SystemTime) -> Timespec {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timespec {
            tv_sec: since.as_secs() as i64,
            tv_nsec: since.subsec_nanos().into(),
        },
        // Seconds count downwards, nanoseconds upwards.
        Err(before) => {
            let before = before.duration();
            let borrowed = i64::from(before.subsec_nanos() > 0);
            Timespec {
                tv_sec: -(before.as_secs() as i64) - borrowed,
                tv_nsec: i64::from(before.subsec_nanos()).wrapping_neg() + borrowed * 1_000_000_000,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_before_the_epoch_are_restored() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for nanos in [0, 1, 999_999_999, 1_000_000_000, 1_000_000_001] {
            let before = UNIX_EPOCH - Duration::from_nanos(nanos);
            let node = Node::At(file.path());
            node.set_modified(before).expect("set");
            let read = node.stat().expect("there").modified().expect("kept");
            assert_eq!(read, before);
        }
    }
}
