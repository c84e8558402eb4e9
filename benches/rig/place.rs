//! Where the files of a bench lie.

use std::path::PathBuf;
use std::sync::Arc;

use groupwal::{Options, SyncPolicy};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::group_wal::GroupWal;

/// Where the files lie. Removed when it is dropped.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self(place.expect("the target directory can be written"))
    }

    /// A directory for one contestant.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.0.path().join(name);
        std::fs::create_dir_all(&dir).expect("the target directory can be written");
        dir
    }

    pub(crate) fn open(&self, runtime: &Runtime, name: &str, policy: SyncPolicy) -> Arc<GroupWal> {
        let options = Options::default().policy(policy).io_driver(true);
        self.open_with(runtime, name, options)
    }

    pub(crate) fn open_with(
        &self,
        runtime: &Runtime,
        name: &str,
        options: Options,
    ) -> Arc<GroupWal> {
        let dir = self.dir(name);
        Arc::new(runtime.block_on(GroupWal::open(&dir, options)))
    }

    /// What holds the directory: file system type, device and mount point.
    pub(crate) fn file_system(&self) -> String {
        let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else {
            return "an unknown file system".into();
        };
        let mount = mounts
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ');
                Some((fields.next()?, fields.next()?, fields.next()?))
            })
            .filter(|(_, point, _)| self.0.path().starts_with(point))
            .max_by_key(|(_, point, _)| point.len());
        match mount {
            Some((device, _, kind @ ("tmpfs" | "ramfs"))) => {
                format!("{kind} ({device}): NOT A DISK, the figures mean nothing")
            }
            Some((device, point, kind)) => format!("{kind} ({device} at {point})"),
            None => "an unknown file system".into(),
        }
    }
}
