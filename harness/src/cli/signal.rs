//! Ctrl-C and SIGTERM.
//!
//! The first one asks all work to end, and the command tells what it has. The second one does not wait
//! for that: whatever hangs, the process is gone within a second. Children die with it, and file
//! systems are unmounted with its namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Arriving;

use crate::process::exit;
use crate::report::exit_status_of;
use crate::stop::Stop;

/// The time that the last words have after a second signal: a pipe may be full, a disk may hang.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// What is said, and done, when the process ends before its work: the exit status comes of it.
pub(super) type Farewell = Box<dyn FnOnce(i32) -> u8 + Send>;

/// The signals that have come.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    pub(super) stop: Stop,
    first: Arc<AtomicI32>,
}

impl Signals {
    /// The first signal asks for the end, the second is the end.
    pub(super) fn heeded(farewell: Farewell) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("cannot handle Ctrl-C: {error}");
        let mut arriving = Arriving::new([SIGINT, SIGTERM]).map_err(cannot)?;
        let signals = Self {
            stop: Stop::default(),
            first: Arc::default(),
        };
        let heard = signals.clone();
        let listen = move || {
            for (signal, number) in arriving.forever().zip(1..) {
                if number == 2 {
                    return end(heard.first().unwrap_or(signal), farewell);
                }
                heard.first.store(signal, Ordering::SeqCst);
                heard.stop.set();
                // A terminal that takes nothing more must not keep the next signal waiting.
                let tell = || eprintln!("Ending. Once more, and it ends without waiting.");
                drop(thread::Builder::new().spawn(tell));
            }
        };
        let started = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listen);
        started.map_err(cannot)?;
        Ok(signals)
    }

    /// The first signal, if one has come.
    pub(super) fn first(&self) -> Option<i32> {
        Some(self.first.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// The exit status of a command: one that was interrupted, and has found nothing by then, says so.
    pub(super) fn exit_status(&self, status: u8) -> u8 {
        match (status, self.first()) {
            (0 | 1, _) | (_, None) => status,
            (_, Some(signal)) => exit_status_of(signal),
        }
    }
}

/// Ends the process.
fn end(signal: i32, farewell: Farewell) {
    let watchdog = thread::Builder::new().spawn(move || {
        thread::sleep(LAST_WORDS);
        exit(exit_status_of(signal).into());
    });
    if watchdog.is_err() {
        exit(exit_status_of(signal).into());
    }
    exit(farewell(signal).into())
}
