//! Who owns a log, while other threads of the process start programs.
//!
//! A child has all descriptors of its parent between fork and exec, the one with the lock among them. A log
//! that was closed then stayed locked: 2,231 of 2,591 openings failed beside three threads that started
//! programs.

mod stage;
mod support;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use groupwal::{FileIdentity, Storage, StorageDir, StorageFile, Wal};
use stage::os::{engines, run, scratch, small};
use support::mem::MemStorage;
use support::tiny::{DIR, append_all, open_with, options};

#[test]
fn a_log_opens_again_at_once_while_programs_are_started() {
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let user = nix::unistd::getuid().as_raw();
                while !stop.load(Ordering::Relaxed) {
                    // With a user id, std forks and then execs.
                    let ended = Command::new("/bin/true").uid(user).status();
                    assert!(ended.unwrap().success());
                }
            })
        })
        .collect();
    for engine in engines() {
        run(async {
            let dir = scratch();
            for opening in 0..150 {
                let wal = Wal::open(dir.path(), small(engine)).await;
                let wal = wal.unwrap_or_else(|error| panic!("opening {opening}: {error}"));
                wal.append(b"x").await.unwrap();
                if opening % 2 == 0 {
                    wal.close().await.unwrap();
                }
            }
        });
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A storage some of whose files are never closed, as if a child had them.
#[derive(Clone)]
struct Inherited {
    inner: MemStorage,
    kept: Arc<Mutex<Vec<Arc<dyn StorageFile>>>>,
}

impl Inherited {
    fn keep(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        if name == "LOCK" {
            self.kept.lock().unwrap().push(Arc::clone(&file));
        }
        file
    }
}

impl Storage for Inherited {
    fn open_dir(&self, _: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }

    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.fill_random(bytes)
    }
}

impl StorageDir for Inherited {
    fn path(&self) -> &Path {
        Path::new(DIR)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.keep(name, self.inner.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.keep(name, StorageDir::open(&self.inner, name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn identity(&self, name: &str) -> io::Result<FileIdentity> {
        StorageDir::identity(&self.inner, name)
    }
    fn open_dir(&self, _: &str) -> io::Result<Arc<dyn StorageDir>> {
        Ok(Arc::new(self.clone()))
    }
    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// The last owner gives the lock back; it does not wait for copies of the descriptor to go.
#[test]
fn the_lock_is_given_back_although_its_descriptor_has_been_inherited() {
    let storage = Inherited {
        inner: MemStorage::new(1),
        kept: Arc::default(),
    };
    for round in 0..3 {
        let wal = open_with(Arc::new(storage.clone()), options()).unwrap();
        append_all(&wal, round..round + 1);
        let error = open_with(Arc::new(storage.clone()), options()).unwrap_err();
        assert!(error.is_locked(), "{error}");
    }
}
