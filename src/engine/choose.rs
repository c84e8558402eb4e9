//! Which engine a log gets.

use super::blocking::Blocking;
use super::inline::Inline;
use super::uring::Uring;
use super::writer::Engine;
use crate::engine_kind::EngineKind;
use crate::error::{Error, Kind, Result};
use crate::options::Options;
use crate::sync::Arc;

/// What opens the log.
pub(crate) fn to_open(options: &Options) -> Arc<dyn Engine> {
    match options.engine {
        EngineKind::Inline => Arc::new(Inline),
        _ => Arc::new(Blocking::new(options)),
    }
}

/// What writes to it. `has_descriptors`: whether the storage has any to hand to the kernel.
///
/// # Errors
/// If `io_uring` was asked for by name and cannot be had.
pub(crate) fn choose(options: &Options, has_descriptors: bool) -> Result<Arc<dyn Engine>> {
    let blocking = || Blocking::new(options);
    Ok(match options.engine {
        EngineKind::Inline => Arc::new(Inline),
        EngineKind::Uring => match Uring::new(blocking()) {
            Ok(uring) => Arc::new(uring),
            Err(error) => return Err(Error::new(Kind::NoUring(error))),
        },
        // Without an I/O driver Tokio panics, so what is not known to be there is not tried.
        EngineKind::Auto if has_descriptors && options.executor.is_none() && options.io_driver => {
            match Uring::new(blocking()) {
                Ok(uring) => Arc::new(uring),
                Err(error) => {
                    tracing::info!(%error, "io_uring cannot be had: using the blocking engine");
                    Arc::new(blocking())
                }
            }
        }
        EngineKind::Auto | EngineKind::Blocking => Arc::new(blocking()),
    })
}

impl EngineKind {
    /// Whether this machine can run it, or something in its place.
    pub fn is_available(self) -> bool {
        self != Self::Uring || choose(&Options::default().engine(self), true).is_ok()
    }
}
