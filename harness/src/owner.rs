//! A user who owns a store's directory in place of the one who runs the torture: a daemon may give up root
//! before it opens its store.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};
use serde::{Deserialize, Serialize};

use crate::scratch::is_of_run;

/// Lets others pass through a directory, and no more.
const MAY_PASS: u32 = 0o011;

/// A user by name, with the numbers of the machine where the torture ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    name: String,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Owner {
    /// # Errors
    /// If there is no such user, or this process may not give a directory to it.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = User::from_name(name).map_err(|error| format!("user '{name}': {error}"))?;
        let user = found.ok_or_else(|| format!("there is no user '{name}' on this machine"))?;
        if !geteuid().is_root() && geteuid() != user.uid {
            return Err(format!(
                "a directory can be given to user '{name}' by root alone: be root, or leave the owner out"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            user: user.uid.as_raw(),
            group: user.gid.as_raw(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes a directory of this run the owner's, and lets the owner pass through those above it. One that the
    /// store has removed is left alone.
    ///
    /// # Errors
    /// If that cannot be done, or the owner cannot come to the run's own directory.
    pub(crate) fn take(&self, dir: &Path) -> io::Result<()> {
        let of_dir = match fs::metadata(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            of_dir => of_dir.map_err(at(dir))?,
        };
        self.open_way(dir)?;
        if (of_dir.uid(), of_dir.gid()) != (self.user, self.group) {
            chown(dir, Some(self.user), Some(self.group)).map_err(at(dir))?;
        }
        Ok(())
    }

    /// Directories of this run let the owner pass; those above are left as they are.
    fn open_way(&self, dir: &Path) -> io::Result<()> {
        let above: Vec<&Path> = dir.ancestors().skip(1).collect();
        let of_run = above.iter().rposition(|dir| is_of_run(dir));
        let (ours, others) = above.split_at(of_run.map_or(0, |outermost| outermost + 1));
        for dir in ours {
            let mode = fs::metadata(dir).map_err(at(dir))?.mode();
            if mode & MAY_PASS != MAY_PASS {
                let permissions = Permissions::from_mode(mode | MAY_PASS);
                fs::set_permissions(dir, permissions).map_err(at(dir))?;
            }
        }
        for dir in others.iter().filter(|dir| !dir.as_os_str().is_empty()) {
            if !self.may_pass(&fs::metadata(dir).map_err(at(dir))?)? {
                let reason = format!(
                    "user '{}' may not enter it, and stores are below it: name another place with --dir, or let \
                     others pass (chmod o+x)",
                    self.name
                );
                return Err(at(dir)(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    reason,
                )));
            }
        }
        Ok(())
    }

    fn may_pass(&self, dir: &Metadata) -> io::Result<bool> {
        if Uid::from_raw(self.user).is_root() {
            return Ok(true);
        }
        let bit = if dir.uid() == self.user {
            0o100
        } else if self.is_in_group(dir.gid())? {
            0o010
        } else {
            0o001
        };
        Ok(dir.mode() & bit != 0)
    }

    fn is_in_group(&self, group: u32) -> io::Result<bool> {
        let name = std::ffi::CString::new(self.name.as_bytes())?;
        let groups = getgrouplist(&name, Gid::from_raw(self.group))?;
        Ok(groups.contains(&Gid::from_raw(group)))
    }
}

fn at(dir: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        let reason = format!("{}: cannot be opened to its owner: {error}", dir.display());
        io::Error::new(error.kind(), reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn mode(dir: &Path) -> u32 {
        fs::metadata(dir).expect("there").mode() & 0o777
    }

    #[test]
    fn others_may_pass_the_directories_of_a_run_and_no_other_changes() {
        let Ok(Some(me)) = User::from_uid(geteuid()) else {
            eprintln!("skipped: the user who runs this test has no name");
            return;
        };
        let owner = Owner::named(&me.name).expect("it is this user");
        let base = tempfile::tempdir().expect("a directory");
        let base_mode = mode(base.path());
        let scratch = Scratch::create(base.path()).expect("a directory");
        let (above, dir) = (
            scratch.path().join("mounts"),
            scratch.path().join("mounts/store"),
        );
        fs::create_dir_all(&dir).expect("new");
        for dir in [scratch.path(), &above] {
            fs::set_permissions(dir, Permissions::from_mode(0o700)).expect("ours");
        }
        owner.take(&dir).expect("ours");
        assert_eq!([mode(scratch.path()), mode(&above)], [0o711; 2]);
        assert_eq!(mode(base.path()), base_mode);
        owner.take(&dir.join("gone")).expect("nothing to do");
    }
}
