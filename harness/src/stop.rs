//! The end that a signal asks for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether all work is to end soon. Everything that takes long or waits looks at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For work that cannot be ended half-way but by an error.
    ///
    /// # Errors
    /// [`Interrupted`](io::ErrorKind::Interrupted) if the end was asked for.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.is_set() {
            let reason = "a signal asked for the end";
            return Err(io::Error::new(io::ErrorKind::Interrupted, reason));
        }
        Ok(())
    }
}
