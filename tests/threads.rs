//! No thread can be started: the limit of a user (`ulimit -u`) or of a cgroup (`pids.max`) is reached.
//!
//! Tokio's `spawn_blocking` panics then, after it has put the closure into the pool's queue. `append` passed the
//! panic on, the flush stayed in the queue, and every later append waited for it for ever, also when there
//! were threads again.

mod stage;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use groupwal::{EngineKind, Wal};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use stage::alone::{alone, is_root, skip};
use stage::cgroup::Cgroup;
use stage::os::{contents, engines, scratch, small};
use tokio::runtime::{Builder, Runtime};

/// Keeps the process from starting threads, or lets it again.
trait Limit {
    fn forbid(&self);
    fn allow(&self);
}

/// `ulimit -u`, for an ordinary user.
struct OfUser;

impl Limit for OfUser {
    fn forbid(&self) {
        let (_, most) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 1, most).unwrap();
    }

    fn allow(&self) {
        let (_, most) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, most, most).unwrap();
    }
}

/// `pids.max`.
struct OfCgroup(Cgroup);

impl Limit for OfCgroup {
    fn forbid(&self) {
        self.0.set("pids.max", "1");
    }

    fn allow(&self) {
        self.0.set("pids.max", "max");
    }
}

/// Threads of this process, those that the kernel runs for a ring left out.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| !name.starts_with("iou-")).count()
}

/// Waits until the pool has let go of its threads.
fn until_threads_are(count: usize) {
    while threads() > count {
        std::thread::yield_now();
    }
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all();
    let builder = builder.thread_keep_alive(Duration::from_millis(1));
    builder.build().unwrap()
}

/// An append, on whatever thread the runtime polls it, that must end.
fn append(runtime: &Runtime, wal: &Wal, len: usize) -> groupwal::Result<u64> {
    let wal = wal.clone();
    let append = runtime.spawn(async move { wal.append(&vec![1; len][..]).await });
    runtime.block_on(async {
        let ended = tokio::time::timeout(Duration::from_secs(60), append).await;
        ended
            .expect("an append waits for ever")
            .expect("it panicked")
    })
}

fn outlive(limit: &dyn Limit, engine: EngineKind, workers: usize, dir: &Path) {
    let runtime = runtime(workers);
    // With all its workers.
    runtime.block_on(async { tokio::task::yield_now().await });
    let before = threads();
    let wal = runtime.block_on(Wal::open(dir, small(engine))).unwrap();
    let entries = Cell::new(0);
    let acked = |wal: &Wal, len| {
        let seq = append(&runtime, wal, len).unwrap();
        assert_eq!(seq, entries.replace(seq + 1), "{engine:?}");
    };
    acked(&wal, 100);
    until_threads_are(before);
    limit.forbid();
    assert!(
        std::thread::Builder::new().spawn(|| ()).is_err(),
        "no limit"
    );
    // Rotations among them.
    for _ in 0..20 {
        acked(&wal, 7000);
    }
    runtime.block_on(wal.trim(10)).unwrap();
    let found = runtime.block_on(contents(&wal, 10)).len();
    assert_eq!(found, 11);
    limit.allow();
    acked(&wal, 100);
    // Whatever lies in the pool's queue runs now.
    runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await.unwrap() });
    for _ in 0..20 {
        acked(&wal, 7000);
    }
    runtime.block_on(wal.close()).unwrap();
    drop(wal);
    limit.forbid();
    until_threads_are(before);
    let wal = runtime.block_on(Wal::open(dir, small(engine))).unwrap();
    let found = runtime.block_on(contents(&wal, 10));
    assert_eq!(
        found.len() as u64,
        entries.get() - 10,
        "written twice, or not at all"
    );
    acked(&wal, 100);
    limit.allow();
}

#[test]
fn a_log_outlives_the_limit_of_its_user() {
    let Some(dir) = std::env::var_os("GROUPWAL_TEST_DIR").map(PathBuf::from) else {
        let dir = scratch();
        let place = format!("GROUPWAL_TEST_DIR={}", dir.path().display());
        let mut wrapper = vec!["env", &place];
        // The limit is not for root.
        let user = 0x7700_0000 + std::process::id() % 0x10_0000;
        let identity = [format!("--reuid={user}"), format!("--regid={user}")];
        if is_root() {
            chown(dir.path(), Some(user), Some(user)).unwrap();
            wrapper.extend(["setpriv", "--clear-groups", &identity[0], &identity[1]]);
        }
        assert!(!alone(&wrapper));
        return;
    };
    for engine in engines() {
        for workers in [1, 2] {
            let log = dir.join(format!("{engine:?}-{workers}"));
            outlive(&OfUser, engine, workers, &log);
        }
    }
}

#[test]
fn a_log_outlives_the_limit_of_its_cgroup() {
    if !is_root() {
        return skip("needs root and a cgroup that limits the number of processes");
    }
    if !alone(&[]) {
        return;
    }
    let Some(cgroup) = Cgroup::enter("pids", "pids.max") else {
        return skip("there is no cgroup controller `pids` here");
    };
    let limit = OfCgroup(cgroup);
    let dir = scratch();
    for engine in engines() {
        for workers in [1, 2] {
            let log = dir.path().join(format!("{engine:?}-{workers}"));
            outlive(&limit, engine, workers, &log);
        }
    }
}
