//! Where blocking work runs.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

use crate::error::{Error, Kind, Result};

/// Where work that reads and writes files runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// On Tokio's blocking pool.
    Pool,
    /// Where it is asked for: a simulation runs everything on its one thread.
    Inline,
}

impl Blocking {
    /// Runs it to its end. Dropping the future does not stop work that has begun.
    pub(crate) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match self {
            Self::Inline => work(),
            Self::Pool => match spawn_blocking(work).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is being shut down.
                Err(_) => Err(Error::new(Kind::Closed)),
            },
        }
    }
}
