//! Waiting for what another process is about to do.

use std::time::{Duration, Instant};

/// What takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that is about to be true.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: not so after {PATIENCE:?}"
        );
        std::thread::yield_now();
    }
}
