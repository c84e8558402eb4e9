//! Metadata: what programs ask for, and what they set.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

use super::change::Setting;
use super::nodes::{Ino, Node};
use super::record::Call;
use super::state::State;
use crate::tree::Kind;

/// As long as Linux allows.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 1 << 16;
const NAMESPACES: [&[u8]; 4] = [b"user.", b"trusted.", b"system.", b"security."];

impl State {
    pub(super) fn set(&mut self, ino: Ino, setting: Setting) -> io::Result<()> {
        let call = Call::Set {
            setting: setting.clone(),
        };
        self.begin(call, Some(ino), None)?;
        let set = self.check(ino, &setting);
        let set = set.map(|()| self.disk.set(ino, setting));
        self.done(set)
    }

    fn check(&self, ino: Ino, setting: &Setting) -> io::Result<()> {
        match setting {
            Setting::Mode(_) if self.disk.target(ino).is_some() => Err(Errno::EOPNOTSUPP.into()),
            Setting::Xattr(name, _) | Setting::NoXattr(name) if self.has_none(ino, name) => {
                Err(Errno::EPERM.into())
            }
            Setting::Xattr(name, _) => check_namespace(name),
            Setting::NoXattr(name) => self.xattr(ino, name).map(drop),
            Setting::Mode(_) | Setting::Owner(..) | Setting::Modified(_) => Ok(()),
        }
    }

    /// Attributes of users are for what users write: a special file has none.
    fn has_none(&self, ino: Ino, name: &OsStr) -> bool {
        name.as_bytes().starts_with(b"user.") && matches!(self.disk.node(ino), Node::Special(_))
    }

    pub(super) fn xattr(&self, ino: Ino, name: &OsStr) -> io::Result<Vec<u8>> {
        if !self.has_none(ino, name) {
            check_namespace(name)?;
        }
        let metadata = self.disk.node(ino).metadata().live();
        let value = metadata.and_then(|metadata| metadata.xattrs.get(name));
        value.cloned().ok_or_else(|| Errno::ENODATA.into())
    }

    pub(super) fn xattr_names(&self, ino: Ino) -> Vec<OsString> {
        let metadata = self.disk.node(ino).metadata().live();
        metadata.map_or_else(Vec::new, |metadata| {
            metadata.xattrs.keys().cloned().collect()
        })
    }

    pub(super) fn read_link(&self, ino: Ino) -> io::Result<std::path::PathBuf> {
        match self.disk.node(ino) {
            Node::Special(special) => match &special.kind {
                Kind::Symlink(target) => Ok(target.clone()),
                _ => Err(Errno::EINVAL.into()),
            },
            Node::File(_) | Node::Dir(_) => Err(Errno::EINVAL.into()),
        }
    }
}

/// What Linux refuses before it looks for the file.
pub(super) fn check_setting(setting: &Setting) -> io::Result<()> {
    match setting {
        Setting::Xattr(_, value) if value.len() > XATTR_VALUE_MAX => Err(Errno::E2BIG.into()),
        Setting::Xattr(name, _) | Setting::NoXattr(name) => check_name(name),
        Setting::Mode(_) | Setting::Owner(..) | Setting::Modified(_) => Ok(()),
    }
}

/// As above, of the name of an attribute.
pub(super) fn check_name(name: &OsStr) -> io::Result<()> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        return Err(Errno::ERANGE.into());
    }
    Ok(())
}

fn check_namespace(name: &OsStr) -> io::Result<()> {
    let namespace = NAMESPACES
        .into_iter()
        .find(|space| name.as_bytes().starts_with(space))
        .ok_or(Errno::EOPNOTSUPP)?;
    if name.len() == namespace.len() {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}
