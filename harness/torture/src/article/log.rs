//! Files `wal.0`, `wal.1` and so on in a directory.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use plugpull::sim::FileSystem;

use super::entry::Entry;
use super::file::{LogFile, read_entries};

/// Nothing has been appended, or synced.
const NONE: i64 = -1;

#[derive(Debug)]
pub(super) struct Log {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    files: VecDeque<LogFile>,
    /// A file that has become so long takes no more entries.
    file_bytes_max: u64,
    next_id: u32,
    /// Number of the last entry that was appended.
    appended: i64,
    /// Number of the last entry that a sync has covered.
    synced: AtomicI64,
}

impl Log {
    pub(super) fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        file_bytes_max: u64,
    ) -> io::Result<Self> {
        match fs.create_dir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => created?,
        }
        let ids = ids(&*fs, dir)?;
        let mut files = VecDeque::new();
        for id in &ids {
            files.push_back(LogFile::open(&*fs, &path(dir, *id))?);
        }
        if files.is_empty() {
            files.push_back(LogFile::create(&*fs, &path(dir, 0), NONE)?);
        }
        Ok(Self {
            next_id: ids.last().map_or(0, |id| *id) + 1,
            fs,
            dir: dir.to_owned(),
            files,
            file_bytes_max,
            appended: NONE,
            synced: AtomicI64::new(NONE),
        })
    }

    fn last_file(&mut self) -> &mut LogFile {
        self.files.back_mut().expect("there is always one")
    }

    /// Appends an entry and returns its number; in a new file, if the last one is long enough.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<i64> {
        if self.last_file().file_bytes()? >= self.file_bytes_max {
            let start = self.last_file().last();
            let path = path(&self.dir, self.next_id);
            let file = LogFile::create(&*self.fs, &path, start)?;
            self.files.push_back(file);
            self.next_id += 1;
        }
        let number = self.last_file().append(entry)?;
        self.appended = number;
        Ok(number)
    }

    /// Syncs the files that hold entries which no sync has covered.
    pub(super) fn sync(&self) -> io::Result<()> {
        let appended = self.appended;
        let synced = self.synced.load(Ordering::SeqCst);
        if appended == synced {
            return Ok(());
        }
        for file in &self.files {
            if file.start() > synced || file.last() >= synced {
                file.sync()?;
            }
        }
        self.synced.store(appended, Ordering::SeqCst);
        Ok(())
    }

    /// Removes the files whose entries all have this number or a lower one, but never the last file.
    pub(super) fn trim(&mut self, up_to: i64) -> io::Result<()> {
        while self.files.len() > 1 && self.files[0].last() <= up_to {
            let file = self.files.pop_front().expect("there is one");
            self.fs.remove_file(file.path())?;
        }
        Ok(())
    }

    /// Shows every entry with its number, file after file.
    pub(super) fn replay(&self, mut show: impl FnMut(i64, Entry)) -> io::Result<()> {
        for file in &self.files {
            read_entries(&*self.fs, file.path(), &mut show)?;
        }
        Ok(())
    }
}

fn path(dir: &Path, id: u32) -> PathBuf {
    dir.join(format!("wal.{id}"))
}

/// The numbers of the files that are there, in order.
fn ids(fs: &dyn FileSystem, dir: &Path) -> io::Result<Vec<u32>> {
    let names = fs.read_dir(dir)?;
    let id = |name: &String| name.strip_prefix("wal.")?.parse().ok();
    let mut ids: Vec<u32> = names.iter().filter_map(id).collect();
    ids.sort_unstable();
    Ok(ids)
}
