//! Metadata of files, by path and by handle.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;

use super::change::Setting;
use super::file::SimFile;
use super::fs::SimFs;
use super::metadata_calls::{check_name, check_setting};
use super::path::Target;
use super::stat::{NodeKind, Stat};
use crate::tree::Kind;

impl SimFs {
    /// Creates a symbolic link to `target`, which need not be there.
    ///
    /// # Errors
    /// As symlink(2).
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let target = target.as_ref();
        if target.as_os_str().is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let kind = Kind::Symlink(target.to_owned());
        let mut state = self.core.lock();
        state.make_node(Target::new(path.as_ref()), kind, None)
    }

    /// Where a symbolic link points.
    ///
    /// # Errors
    /// As readlink(2).
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let state = self.core.lock();
        let ino = state.disk.lookup_itself(Target::new(path.as_ref()))?;
        state.read_link(ino)
    }

    /// Creates a node of any kind; a file or a directory is empty. Its mode is as durable as its name is.
    ///
    /// # Errors
    /// As mknod(2), or as planned.
    pub fn make_node(&self, path: impl AsRef<Path>, kind: NodeKind, mode: u32) -> io::Result<()> {
        let mode = Some(mode & 0o7777);
        let mut state = self.core.lock();
        state.make_node(Target::new(path.as_ref()), kind.into(), mode)
    }

    /// What is known of the node to which a path leads.
    ///
    /// # Errors
    /// As stat(2).
    pub fn stat(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let state = self.core.lock();
        let ino = state.disk.lookup(Target::new(path.as_ref()))?;
        Ok(state.disk.stat(ino))
    }

    /// What is known of the node that has this path, even if it is a symbolic link.
    ///
    /// # Errors
    /// As lstat(2).
    pub fn symlink_stat(&self, path: impl AsRef<Path>) -> io::Result<Stat> {
        let state = self.core.lock();
        let ino = state.disk.lookup_itself(Target::new(path.as_ref()))?;
        Ok(state.disk.stat(ino))
    }

    /// Gives a symbolic link away, not what it leads to. It cannot be synced itself: where one journal has
    /// all changes, a sync that commits later ones makes it durable, elsewhere nothing does.
    ///
    /// # Errors
    /// As lchown(2).
    pub fn set_symlink_owner(
        &self,
        path: impl AsRef<Path>,
        owner: Option<u32>,
        group: Option<u32>,
    ) -> io::Result<()> {
        let mut state = self.core.lock();
        let ino = state.disk.lookup_itself(Target::new(path.as_ref()))?;
        state.set(ino, Setting::Owner(owner, group))
    }

    /// Sets its permissions, and the three bits above them. Pending until a sync.
    ///
    /// # Errors
    /// As chmod(2).
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        self.set(path.as_ref(), Setting::Mode(mode & 0o7777))
    }

    /// Gives it away; what is `None` stays as it is. Pending until a sync.
    ///
    /// # Errors
    /// As chown(2).
    pub fn set_owner(
        &self,
        path: impl AsRef<Path>,
        owner: Option<u32>,
        group: Option<u32>,
    ) -> io::Result<()> {
        self.set(path.as_ref(), Setting::Owner(owner, group))
    }

    /// Sets the time of modification. Pending until a sync.
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn set_modified(&self, path: impl AsRef<Path>, modified: SystemTime) -> io::Result<()> {
        self.set(path.as_ref(), Setting::Modified(modified))
    }

    /// Sets an extended attribute, new or not. Pending until a sync.
    ///
    /// # Errors
    /// As setxattr(2).
    pub fn set_xattr(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: &[u8],
    ) -> io::Result<()> {
        self.set(
            path.as_ref(),
            Setting::Xattr(name.as_ref().to_owned(), value.to_vec()),
        )
    }

    /// Removes an extended attribute. Pending until a sync.
    ///
    /// # Errors
    /// As removexattr(2).
    pub fn remove_xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.set(path.as_ref(), Setting::NoXattr(name.as_ref().to_owned()))
    }

    fn set(&self, path: &Path, setting: Setting) -> io::Result<()> {
        check_setting(&setting)?;
        let mut state = self.core.lock();
        let ino = state.disk.lookup(Target::new(path))?;
        state.set(ino, setting)
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// As getxattr(2).
    pub fn xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> io::Result<Vec<u8>> {
        check_name(name.as_ref())?;
        let state = self.core.lock();
        let ino = state.disk.lookup(Target::new(path.as_ref()))?;
        state.xattr(ino, name.as_ref())
    }

    /// The names of its extended attributes, sorted.
    ///
    /// # Errors
    /// As listxattr(2).
    pub fn xattr_names(&self, path: impl AsRef<Path>) -> io::Result<Vec<OsString>> {
        let state = self.core.lock();
        let ino = state.disk.lookup(Target::new(path.as_ref()))?;
        Ok(state.xattr_names(ino))
    }
}

impl SimFile {
    /// What is known of it.
    pub fn stat(&self) -> Stat {
        self.core.lock().disk.stat(self.ino)
    }

    /// Sets its permissions, and the three bits above them. Pending until a sync.
    ///
    /// # Errors
    /// As fchmod(2).
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.set(Setting::Mode(mode & 0o7777))
    }

    /// Gives it away; what is `None` stays as it is. Pending until a sync.
    ///
    /// # Errors
    /// As fchown(2).
    pub fn set_owner(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.set(Setting::Owner(owner, group))
    }

    /// Sets the time of modification. Pending until a sync.
    ///
    /// # Errors
    /// As futimens(3).
    pub fn set_modified(&self, modified: SystemTime) -> io::Result<()> {
        self.set(Setting::Modified(modified))
    }

    /// Sets an extended attribute, new or not. Pending until a sync.
    ///
    /// # Errors
    /// As fsetxattr(2).
    pub fn set_xattr(&self, name: impl AsRef<OsStr>, value: &[u8]) -> io::Result<()> {
        self.set(Setting::Xattr(name.as_ref().to_owned(), value.to_vec()))
    }

    /// Removes an extended attribute. Pending until a sync.
    ///
    /// # Errors
    /// As fremovexattr(2).
    pub fn remove_xattr(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.set(Setting::NoXattr(name.as_ref().to_owned()))
    }

    fn set(&self, setting: Setting) -> io::Result<()> {
        check_setting(&setting)?;
        self.core.lock().set(self.ino, setting)
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// As fgetxattr(2).
    pub fn xattr(&self, name: impl AsRef<OsStr>) -> io::Result<Vec<u8>> {
        check_name(name.as_ref())?;
        self.core.lock().xattr(self.ino, name.as_ref())
    }

    /// The names of its extended attributes, sorted.
    pub fn xattr_names(&self) -> Vec<OsString> {
        self.core.lock().xattr_names(self.ino)
    }
}
