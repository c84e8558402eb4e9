//! What signals do to the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use tokio::signal::unix::{SignalKind, signal};

/// As shells report a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 128 + SIGINT;

/// A write beyond the limit of file sizes (`ulimit -f`) is an error of that write, with the file's name, not the
/// end of the process. A handler that does nothing is what ignores the signal here: unlike `SIG_IGN` it is not
/// passed on to programs that this one starts.
///
/// # Errors
/// If the handler cannot be installed.
pub(super) fn survive_file_size_limit() -> io::Result<()> {
    let unread = Arc::new(AtomicBool::new(false));
    flag::register(SIGXFSZ, unread)?;
    Ok(())
}

/// Resolves when the program is asked to end. A Ctrl-C after that ends it at once.
///
/// # Errors
/// If a handler cannot be installed.
pub(super) fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    let asked = Arc::new(AtomicBool::new(false));
    // In this order: the handlers of a signal run as they were registered, and the first Ctrl-C only sets
    // the flag.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&asked))?;
    flag::register(SIGINT, Arc::clone(&asked))?;
    flag::register(SIGTERM, asked)?;
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("ending; Ctrl-C ends at once, and loses nothing that was acknowledged");
    })
}
