//! What surrounds a log: parents that cannot be synced, paused clocks, runtimes without an I/O driver, panic
//! hooks.

mod stage;
mod support;

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use groupwal::{
    EngineKind, FileIdentity, Options, OsStorage, Storage, StorageDir, StorageFile, Wal,
};
use stage::alone::{alone, is_root, skip};
use stage::os::{engines, files, fill, run, runtime, scratch, small};
use support::tiny::ready;

/// Real files, in directories of which one cannot be synced, as on sysfs, squashfs and some FUSE file systems.
struct Unsynced(std::path::PathBuf);

struct UnsyncedDir(Arc<dyn StorageDir>, std::path::PathBuf);

impl Storage for Unsynced {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        let dir = OsStorage.open_dir(path)?;
        Ok(Arc::new(UnsyncedDir(dir, self.0.clone())))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        OsStorage.fill_random(bytes)
    }
}

impl StorageDir for UnsyncedDir {
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        if self.path() == self.1 {
            return Err(io::Error::from_raw_os_error(22));
        }
        self.0.sync()
    }
    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        self.0.identity(name)
    }
    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(Self(self.0.open_dir(name)?, self.1.clone())))
    }
    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.0.create_dir(name)
    }
    fn remove_dir(&self, name: &str) -> io::Result<()> {
        self.0.remove_dir(name)
    }
}

#[test]
fn a_directory_that_is_there_needs_no_sync_of_its_parent_where_that_cannot_be_had() {
    let dir = scratch();
    let path = dir.path().join("log");
    std::fs::create_dir(&path).unwrap();
    let storage = || Arc::new(Unsynced(dir.path().to_owned()));
    let inline = || small(EngineKind::Inline);
    let wal = ready(Wal::open_with(storage(), &path, inline())).unwrap();
    ready(wal.append(b"x")).unwrap();
    drop(wal);
    // What the log creates itself must be durable: the message names the directory and the call.
    let new = dir.path().join("new/log");
    let error = ready(Wal::open_with(storage(), &new, inline())).unwrap_err();
    let expected = format!(
        "cannot sync the directory {}: Invalid argument (os error 22)",
        dir.path().display()
    );
    assert_eq!(error.to_string(), expected);
    // And so does the log's own directory.
    let error = ready(Wal::open_with(storage(), dir.path(), inline())).unwrap_err();
    let expected = format!(
        "cannot sync {}: Invalid argument (os error 22)",
        dir.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

/// The case that was reported, as it was.
#[test]
fn a_log_opens_in_a_file_system_that_is_mounted_on_sysfs() {
    let at = Path::new("/sys/fs/cgroup");
    if !is_root() || !at.is_dir() {
        return skip("needs root and /sys/fs/cgroup");
    }
    if !alone(&["unshare", "--mount", "--propagation", "private"]) {
        return;
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "none"]).arg(at);
    assert!(mount.status().unwrap().success());
    for engine in engines() {
        run(async {
            let wal = Wal::open(at, small(engine)).await.unwrap();
            wal.append(b"x").await.unwrap();
        });
    }
}

/// A paused clock jumps to the next timer as soon as its runtime is idle, also while the disk is at work: with
/// a request in the ring every timeout fired.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_an_append_is_in_progress() {
    for engine in engines().into_iter().chain([EngineKind::Auto]) {
        let dir = scratch();
        let options = small(engine).io_driver(true);
        let wal = Wal::open(dir.path(), options).await.unwrap();
        let begun = tokio::time::Instant::now();
        for _ in 0..50 {
            let append = tokio::time::timeout(Duration::from_secs(1), wal.append(&[1; 3000][..]));
            append.await.expect("it timed out").unwrap();
        }
        let all = async {
            wal.trim(40).await.unwrap();
            let mut replay = wal.replay(40);
            while replay.next().await.unwrap().is_some() {}
            wal.close().await.unwrap();
        };
        let done = tokio::time::timeout(Duration::from_secs(1), all);
        done.await.expect("it timed out");
        assert_eq!(
            begun.elapsed(),
            Duration::ZERO,
            "{engine:?}: the clock jumped"
        );
    }
}

/// Whether a runtime has an I/O driver was found out by the panic of one that has none. A hook that ends the
/// process did so at the first append.
#[test]
fn no_panic_is_provoked_on_a_runtime_without_an_io_driver() {
    if !alone(&[]) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(42);
    }));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let bare = builder.enable_time().build().unwrap();
    for engine in [EngineKind::Auto, EngineKind::Blocking, EngineKind::Inline] {
        let dir = scratch();
        bare.block_on(async {
            let wal = Wal::open(dir.path(), small(engine)).await.unwrap();
            fill(&wal, 1, 3).await;
            wal.trim(3).await.unwrap();
            wal.close().await.unwrap();
        });
    }
}

/// `Auto` takes the ring where the user says that it can be waited for.
#[test]
fn the_ring_is_taken_where_the_user_says_that_there_is_an_io_driver() {
    if !EngineKind::Uring.is_available() {
        return skip("io_uring cannot be had here");
    }
    let rings = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = links.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links
            .filter(|link| link.to_string_lossy().contains("io_uring"))
            .count()
    };
    if !alone(&[]) {
        return;
    }
    for says in [false, true] {
        let dir = scratch();
        let wal = runtime().block_on(Wal::open(dir.path(), Options::default().io_driver(says)));
        assert_eq!(rings(), usize::from(says));
        drop(wal.unwrap());
        assert!(!files(dir.path(), ".seg").is_empty());
    }
}
