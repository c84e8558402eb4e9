//! A cgroup of a test's own process.

use std::fs;
use std::path::{Path, PathBuf};

/// Left and removed when it is dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Moves this process into a new cgroup of this controller, in which there is a file called `limit`. `None`
    /// if there is none to be had.
    pub fn enter(controller: &str, limit: &str) -> Option<Self> {
        let name = format!("groupwal-test-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let roots = [root.join(controller), root.to_owned(), root.join("unified")];
        roots.iter().find_map(|root| {
            let group = root.join(&name);
            fs::create_dir(&group).ok()?;
            let this = std::process::id().to_string();
            let entered =
                group.join(limit).exists() && fs::write(group.join("cgroup.procs"), this).is_ok();
            if !entered {
                fs::remove_dir(&group).unwrap();
                return None;
            }
            Some(Self(group))
        })
    }

    pub fn set(&self, limit: &str, value: &str) {
        fs::write(self.0.join(limit), value).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let root = self.0.parent().unwrap().join("cgroup.procs");
        drop(fs::write(root, std::process::id().to_string()));
        drop(fs::remove_dir(&self.0));
    }
}
