//! Logs on real files.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;

use groupwal::{EngineKind, Entry, Options, Wal};
use tokio::runtime::{Builder, Runtime};

use super::alone::skip;

/// The engines that can be had here. Those that cannot are named.
pub fn engines() -> Vec<EngineKind> {
    let mut engines = vec![EngineKind::Blocking, EngineKind::Inline];
    if EngineKind::Uring.is_available() {
        engines.push(EngineKind::Uring);
    } else {
        skip("for the engine uring: the kernel does not allow io_uring here");
    }
    engines
}

/// A scratch directory on the file system of the build.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Segments of 64 KiB: six entries of 7000 bytes fill one if they come alone.
pub fn small(engine: EngineKind) -> Options {
    Options::default()
        .engine(engine)
        .segment_bytes(64 << 10)
        .group_bytes_max(16 << 10)
        .entry_bytes_max(8 << 10)
}

/// Runs it on two workers.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

pub fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Appends entries of 7000 bytes, filled with `byte`, until the log has so many segments.
pub async fn fill(wal: &Wal, byte: u8, segments: usize) {
    while wal.segment_count() < segments {
        wal.append(&[byte; 7000][..]).await.unwrap();
    }
}

/// Everything from `from` on, and that none of it is missing.
pub async fn contents(wal: &Wal, from: u64) -> BTreeMap<u64, Vec<u8>> {
    let mut replay = wal.replay(from);
    let mut found = BTreeMap::new();
    while let Some(record) = replay.next().await.unwrap() {
        let Entry::Bytes(bytes) = record.entry else {
            panic!("not bytes: {record:?}");
        };
        assert_eq!(record.seq, from + found.len() as u64);
        found.insert(record.seq, bytes.to_vec());
    }
    found
}

/// The files in a directory whose names end so.
pub fn files(dir: &Path, suffix: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(suffix))
        .collect();
    names.sort_unstable();
    names
}
