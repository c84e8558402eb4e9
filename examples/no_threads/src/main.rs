//! A log in a process that cannot start threads any more, as at the limit of `ulimit -u` or of a container.
//!
//! ```sh
//! cargo run --manifest-path examples/no_threads/Cargo.toml -- DIR    # as an ordinary user: the limit is not for root
//! ```
//!
//! The log writes its groups on the threads that there are. Without the limit it goes on as before. It is built
//! with `panic = "abort"`, so that any panic on the way would end the process.

use std::path::PathBuf;
use std::time::Duration;

use groupwal::{EngineKind, Options, Wal};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn main() -> Result {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = dir.ok_or("usage: no_threads DIR")?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .thread_keep_alive(Duration::from_millis(1));
    let runtime = builder.build()?;
    for engine in [EngineKind::Blocking, EngineKind::Uring] {
        if engine.is_available() {
            runtime.block_on(outlive(engine, &dir.join(format!("{engine:?}"))))?;
        }
    }
    Ok(())
}

async fn outlive(engine: EngineKind, dir: &std::path::Path) -> Result {
    let options = Options::default()
        .engine(engine)
        .segment_bytes(64 << 10)
        .group_bytes_max(16 << 10)
        .entry_bytes_max(8 << 10);
    let wal = Wal::open(dir, options.clone()).await?;
    let (_, most) = getrlimit(Resource::RLIMIT_NPROC)?;
    setrlimit(Resource::RLIMIT_NPROC, 1, most)?;
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        return Err("this user may start threads all the same: is it root?".into());
    }
    // The pool's own threads end when they have been idle for a millisecond.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..50 {
        wal.append(&[1; 7000][..]).await?;
    }
    wal.trim(20).await?;
    setrlimit(Resource::RLIMIT_NPROC, most, most)?;
    for _ in 0..50 {
        wal.append(&[2; 7000][..]).await?;
    }
    wal.close().await?;
    drop(wal);
    let wal = Wal::open(dir, options).await?;
    println!(
        "{engine:?}: {} entries acknowledged, half of them without a thread to be had",
        wal.durable_seq()
    );
    Ok(())
}
