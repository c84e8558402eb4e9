//! Errors that say what was done, and to what.

use std::io;
use std::path::Path;

/// Adds the operation and the path.
pub(super) fn failed<E: Into<io::Error>>(
    operation: &str,
    path: &Path,
) -> impl FnOnce(E) -> io::Error {
    move |error| {
        let error = error.into();
        let told = format!("cannot {operation} {}: {error}", path.display());
        io::Error::new(error.kind(), told)
    }
}
