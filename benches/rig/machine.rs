//! What a measurement runs on, and whether it is one.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use tokio::runtime::{Builder, Runtime};

/// As many workers everywhere, so that figures compare.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Whether Cargo measures; otherwise it only wants to know that the bench runs.
pub(crate) fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Processor time that this process has used, in user and kernel mode.
pub(crate) fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own");
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).expect("not negative"))
    };
    time(usage.user_time()) + time(usage.system_time())
}
