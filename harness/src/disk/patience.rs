//! Busy for a moment.
//!
//! A process that any thread starts has a copy of every open descriptor until it executes its
//! program. So a file that was closed, or a device, can be in use for another millisecond, by nobody
//! who knows of it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;

/// Whatever is busy for longer is in use for good.
const LIMIT: Duration = Duration::from_millis(500);
/// Between two tries.
const PAUSE: Duration = Duration::from_micros(200);

/// Tries again as long as something is busy, within reason.
pub(super) fn while_busy<T, E: Into<io::Error>>(
    act: impl FnMut() -> Result<T, E>,
) -> io::Result<T> {
    while_busy_for(LIMIT, act)
}

/// Tries again as long as something is busy, for a time.
pub(super) fn while_busy_for<T, E: Into<io::Error>>(
    limit: Duration,
    mut act: impl FnMut() -> Result<T, E>,
) -> io::Result<T> {
    let began = Instant::now();
    loop {
        let error = match act() {
            Ok(done) => return Ok(done),
            Err(error) => error.into(),
        };
        let busy = error.raw_os_error() == Some(Errno::EBUSY as i32);
        if !busy || began.elapsed() > limit {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
}
