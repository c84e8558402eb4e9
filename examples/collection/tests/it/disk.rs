//! A storage that fails and remembers, over the real one.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use groupwal::{OsStorage, Storage, StorageFile};

/// What the disk does, as long as it is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// Files can neither be made nor grow.
    Full,
    /// Syncs of files whose names end so fail.
    SyncsFail(&'static str),
    /// Directories cannot be synced.
    DirectorySyncsFail,
    /// The one cannot that the manifest was just renamed in.
    SyncAfterRenameFails,
}

/// What was done to which file: `sync MANIFEST.new`. All files of the log are called `log`.
type Journal = Vec<String>;

#[derive(Default)]
struct State {
    trouble: Trouble,
    journal: Journal,
}

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    pub(crate) fn set(&self, trouble: Trouble) {
        self.0.lock().unwrap().trouble = trouble;
    }

    /// What was done since the last time.
    pub(crate) fn take_journal(&self) -> Journal {
        std::mem::take(&mut self.0.lock().unwrap().journal)
    }

    /// Notes an operation, and fails it if that is what the disk does.
    fn begin(&self, operation: &str, path: &Path) -> io::Result<()> {
        // The log renames its files while they are open: which one it is does not matter here.
        let is_log = path.parent().is_some_and(|dir| dir.ends_with("log"));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = if is_log { "log".into() } else { name };
        let mut state = self.0.lock().unwrap();
        let after_rename = state
            .journal
            .last()
            .is_some_and(|last| last == "rename MANIFEST");
        state.journal.push(format!("{operation} {name}"));
        let errno = match state.trouble {
            Trouble::Full if ["create", "write"].contains(&operation) => 28,
            Trouble::SyncsFail(suffix) if operation == "sync" && name.ends_with(suffix) => 5,
            Trouble::DirectorySyncsFail if operation == "sync-dir" => 5,
            Trouble::SyncAfterRenameFails if operation == "sync-dir" && after_rename => 5,
            _ => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(errno))
    }

    fn file(&self, path: &Path, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(File {
            disk: self.clone(),
            path: path.to_owned(),
            inner,
        })
    }
}

impl Storage for Disk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsStorage.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsStorage.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.begin("create", path)?;
        Ok(self.file(path, OsStorage.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(path, OsStorage.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin("rename", to)?;
        OsStorage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.begin("remove", path)?;
        OsStorage.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.begin("sync-dir", dir)?;
        OsStorage.sync_dir(dir)
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsStorage.fill_random(bytes)
    }
}

struct File {
    disk: Disk,
    path: std::path::PathBuf,
    inner: Arc<dyn StorageFile>,
}

impl StorageFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let grows = offset + bytes.len() as u64 > self.inner.length()?;
        self.disk
            .begin(if grows { "write" } else { "overwrite" }, &self.path)?;
        self.inner.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.begin("sync", &self.path)?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.begin("sync", &self.path)?;
        self.inner.sync_all()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }
}
