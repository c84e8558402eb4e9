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
            Setting::Xattr(name, value) => {
                self.check_xattr(ino, name)?;
                if value.len() > XATTR_VALUE_MAX {
                    return Err(Errno::E2BIG.into());
                }
                Ok(())
            }
            Setting::NoXattr(name) => {
                self.check_xattr(ino, name)?;
                self.xattr(ino, name).map(drop)
            }
            Setting::Mode(_) | Setting::Owner(..) | Setting::Modified(_) => Ok(()),
        }
    }

    fn check_xattr(&self, ino: Ino, name: &OsStr) -> io::Result<()> {
        if name.is_empty() || name.len() > XATTR_NAME_MAX {
            return Err(Errno::ERANGE.into());
        }
        let namespace = NAMESPACES
            .into_iter()
            .find(|space| name.as_bytes().starts_with(space))
            .ok_or(Errno::EOPNOTSUPP)?;
        if name.len() == namespace.len() {
            return Err(Errno::EINVAL.into());
        }
        // Attributes of users are for what users write.
        if namespace == b"user." && matches!(self.disk.node(ino), Node::Special(_)) {
            return Err(Errno::EPERM.into());
        }
        Ok(())
    }

    pub(super) fn xattr(&self, ino: Ino, name: &OsStr) -> io::Result<Vec<u8>> {
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
