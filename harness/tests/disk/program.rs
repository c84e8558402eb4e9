//! A program that is recorded, and what it was promised.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugpull::disk::{Disk, FileSystem, Image, Recording, Sampling, Site};

/// The file must begin with these bytes, whenever the plug is pulled at or after the index.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) index: u64,
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// What a program did, and what it was promised.
pub(crate) struct Run {
    pub(crate) recording: Recording,
    pub(crate) promises: Vec<Promise>,
    /// The index at which an append had returned that was not synced, and how long the file is
    /// with it.
    pub(crate) unsynced: (u64, usize),
}

/// Creates, writes, syncs, renames, appends.
pub(crate) fn program(dir: &Path, clock: &AtomicU64) -> io::Result<(Vec<Promise>, (u64, usize))> {
    let now = || clock.load(Ordering::SeqCst);
    let mut promises = Vec::new();
    let mut promise = |name, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        promises.push(Promise {
            index: now(),
            name,
            bytes,
        });
    };
    let mut bytes = vec![b'a'; 5000];
    let mut file = File::create(dir.join("spare"))?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(dir.join("spare"), dir.join("log"))?;
    File::open(dir)?.sync_all()?;
    promise("log", &bytes);
    for round in 0..4_u8 {
        let more = vec![b'b' + round; 3000];
        file.write_all(&more)?;
        file.sync_data()?;
        bytes.extend(more);
        promise("log", &bytes);
    }
    let more = vec![b'z'; 3000];
    file.write_all(&more)?;
    bytes.extend(more);
    let unsynced = (now(), bytes.len());
    file.sync_all()?;
    promise("log", &bytes);
    Ok((promises, unsynced))
}

pub(crate) fn record(site: &Site, file_system: &FileSystem) -> Run {
    let clock = Arc::new(AtomicU64::new(0));
    let disk = Disk::new(site, Image::zeros(file_system.bytes), clock.clone()).expect("a disk");
    disk.format(file_system).expect("formatted");
    let ran = disk.record(file_system, |dir| program(dir, &clock));
    let (said, recording) = ran.expect("recorded");
    let (promises, unsynced) = said.expect("the program runs");
    Run {
        recording,
        promises,
        unsynced,
    }
}

pub(crate) fn sampling(file_system: &FileSystem) -> Sampling {
    let sampling = Sampling {
        subsets: 8,
        torn: 3,
        exhaustive_max: 3,
        ..Sampling::seeded(1)
    };
    sampling.on(file_system)
}

/// What a file holds; nothing if it is not there.
pub(crate) fn content(dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The first promise that is not kept at an index.
pub(crate) fn broken(promises: &[Promise], index: u64, dir: &Path) -> io::Result<Option<Promise>> {
    for promise in promises.iter().filter(|promise| promise.index <= index) {
        let kept =
            content(dir, promise.name)?.is_some_and(|found| found.starts_with(&promise.bytes));
        if !kept {
            return Ok(Some(promise.clone()));
        }
    }
    Ok(None)
}
