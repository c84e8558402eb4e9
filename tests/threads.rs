//! No thread can be started: the limit of a user (`ulimit -u`) or of a cgroup (`pids.max`) is reached.
//!
//! Tokio's `spawn_blocking` panics then, after it has put the closure into the pool's queue. `append` passed the
//! panic on, the flush stayed in the queue, and every later append waited for it for ever, also when there
//! were threads again.

mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use groupwal::{EngineKind, Wal};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::alone::{alone, is_root, skip};
use support::os::{contents, engines, scratch, small};
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

/// `pids.max` of a cgroup of our own.
struct OfCgroup(PathBuf);

impl OfCgroup {
    /// Moves this process into a new cgroup; `None` if there is none to be had.
    fn enter() -> Option<Self> {
        let name = format!("groupwal-test-{}", std::process::id());
        let roots = [
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/unified",
        ];
        roots.iter().find_map(|root| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            let entered = group.join("pids.max").exists()
                && fs::write(group.join("cgroup.procs"), std::process::id().to_string()).is_ok();
            if !entered {
                fs::remove_dir(&group).unwrap();
                return None;
            }
            Some(Self(group))
        })
    }
}

impl Limit for OfCgroup {
    fn forbid(&self) {
        fs::write(self.0.join("pids.max"), "1").unwrap();
    }

    fn allow(&self) {
        fs::write(self.0.join("pids.max"), "max").unwrap();
    }
}

impl Drop for OfCgroup {
    fn drop(&mut self) {
        let root = self.0.parent().unwrap().join("cgroup.procs");
        drop(fs::write(root, std::process::id().to_string()));
        drop(fs::remove_dir(&self.0));
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
    let Some(limit) = OfCgroup::enter() else {
        return skip("there is no cgroup controller `pids` here");
    };
    let dir = scratch();
    for engine in engines() {
        for workers in [1, 2] {
            let log = dir.path().join(format!("{engine:?}-{workers}"));
            outlive(&limit, engine, workers, &log);
        }
    }
}
