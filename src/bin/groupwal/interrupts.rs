//! Signals: Ctrl-C, and a limit on the size of files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::failure::{Failure, INTERRUPTED};

/// From now on the first Ctrl-C sets the flag that is returned, so that the command takes away what it
/// has half made, and the second one ends the program at once: a disk that does not answer may keep
/// the command from ever looking at the flag. What is half made then stays under its spare name,
/// and the next attempt removes it.
///
/// A terminal that goes away and a request to terminate count as Ctrl-C, too.
///
/// # Errors
/// If a handler cannot be set.
pub(crate) fn catch_interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // They run in this order: the first signal finds the flag not yet set.
        let ended = flag::register_conditional_shutdown(
            signal,
            INTERRUPTED.into(),
            Arc::clone(&interrupted),
        );
        ended
            .and_then(|_| flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| Failure::Refused(format!("cannot handle Ctrl-C: {error}")))?;
    }
    Ok(interrupted)
}

/// # Errors
/// If Ctrl-C was pressed.
pub(crate) fn refuse_interrupted(interrupted: &AtomicBool) -> Result<(), Failure> {
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) fail with an error, which says
/// which file it was. By default the signal ends the program without a word, and what is half made
/// stays.
///
/// # Errors
/// If the handler cannot be set.
pub(crate) fn survive_file_limit() -> Result<(), Failure> {
    // Nothing looks at the flag: that the signal is handled is enough.
    flag::register(SIGXFSZ, Arc::default())
        .map_err(|error| Failure::Refused(format!("cannot handle SIGXFSZ: {error}")))?;
    Ok(())
}
