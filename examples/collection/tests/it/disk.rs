//! A storage that fails and remembers, over the real one.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use groupwal::{FileIdentity, OsStorage, Storage, StorageDir, StorageFile};

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
    /// The one cannot that the manifest was just renamed in, which names a segment just written.
    SyncAfterRenameFails,
    /// A file is copied to the name of a segment, just before that is made.
    SegmentsAppear,
    /// The log's files cannot be read: a panic, as a bug would be.
    LogReadsPanic,
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

    /// Reads are not noted.
    fn check_read(&self, path: &Path) {
        let is_log = path.parent().is_some_and(|dir| dir.ends_with("log"));
        let trouble = self.0.lock().unwrap().trouble;
        assert!(
            !(is_log && trouble == Trouble::LogReadsPanic),
            "as a bug would"
        );
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
        let has_segment = |done: &String| done.starts_with("sync ") && done.ends_with(".segment");
        // Of the same publication: the one that reserves a segment's id comes before the segment.
        let publication = state.journal.iter().rev().skip(1);
        let after_segment = publication
            .take_while(|done| *done != "rename MANIFEST")
            .any(has_segment);
        state.journal.push(format!("{operation} {name}"));
        let errno = match state.trouble {
            Trouble::Full if ["create", "write"].contains(&operation) => 28,
            Trouble::SyncsFail(suffix) if operation == "sync" && name.ends_with(suffix) => 5,
            Trouble::DirectorySyncsFail if operation == "sync-dir" => 5,
            Trouble::SyncAfterRenameFails
                if operation == "sync-dir" && after_rename && after_segment =>
            {
                5
            }
            _ => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(errno))
    }
}

impl Storage for Disk {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(Dir {
            disk: self.clone(),
            inner: OsStorage.open_dir(path)?,
        }))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsStorage.fill_random(bytes)
    }
}

struct Dir {
    disk: Disk,
    inner: Arc<dyn StorageDir>,
}

impl Dir {
    fn begin(&self, operation: &str, name: &str) -> io::Result<()> {
        self.disk.begin(operation, &self.path().join(name))
    }

    fn file(&self, name: &str, inner: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(File {
            disk: self.disk.clone(),
            path: self.path().join(name),
            inner,
        })
    }
}

impl StorageDir for Dir {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.begin("create", name)?;
        if self.disk.0.lock().unwrap().trouble == Trouble::SegmentsAppear
            && name.ends_with(".segment")
        {
            std::fs::write(self.path().join(name), "copied")?;
        }
        Ok(self.file(name, self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.inner.open(name)?))
    }

    fn open_read_only(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(name, self.inner.open_read_only(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.begin("rename", to)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.begin("remove", name)?;
        self.inner.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.begin("sync-dir", self.path())?;
        self.inner.sync()
    }

    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.inner.identity(name)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(Dir {
            disk: self.disk.clone(),
            inner: self.inner.open_dir(name)?,
        }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.inner.create_dir(name)
    }

    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.inner.remove_dir(name)
    }
}

struct File {
    disk: Disk,
    path: std::path::PathBuf,
    inner: Arc<dyn StorageFile>,
}

impl StorageFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.check_read(&self.path);
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

    fn identity(&self) -> io::Result<FileIdentity> {
        self.inner.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) {
        self.inner.unlock();
    }
}
