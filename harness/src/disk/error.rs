//! Errors that say what was tried, where, and the way out.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// An error with what was being done when it happened. Its kind is kept.
#[derive(Debug)]
struct Failed {
    what: String,
    source: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.source)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds what was being done.
pub(crate) fn doing<E: Into<io::Error>>(what: impl Into<String>) -> impl Fn(E) -> io::Error {
    let what = what.into();
    move |source| {
        let source = source.into();
        let what = what.clone();
        io::Error::new(source.kind(), Failed { what, source })
    }
}

/// Adds what was being done, and to which file.
pub(crate) fn at_path<E: Into<io::Error>>(
    what: &str,
    path: &Path,
) -> impl Fn(E) -> io::Error + use<E> {
    doing(format!("{what} {}", path.display()))
}

/// The kernel would not mount an image: the outcome of an experiment, not a fault of the machine.
#[derive(Debug)]
struct Refused(io::Error);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the kernel does not mount the image: {}; `dmesg` may say why",
            self.0
        )
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The kernel would not mount an image.
pub(super) fn refused(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Refused(error))
}

/// Whether an error says that the kernel would not mount an image, rather than that something is
/// wrong here.
pub fn is_mount_refused(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner
        .and_then(|inner| inner.downcast_ref::<Refused>())
        .is_some()
}
