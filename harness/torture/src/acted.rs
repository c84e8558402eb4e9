//! What became of an action.

use groupwal::Error;
use plugpull::Recorder;

/// What an action has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acted {
    /// The entry was acknowledged at this position.
    At(u64),
    /// The disk is full. The entry was not written, and the log goes on.
    Full,
    /// Neither.
    Nothing,
}

/// Records why an attempt was not acknowledged.
///
/// # Errors
/// If an append cannot fail like that.
pub(crate) fn record_failure(id: u64, error: Error, recorder: &Recorder) -> Result<Acted, Error> {
    if error.is_outcome_unknown() {
        recorder.failed(id);
    } else if error.is_not_written() {
        recorder.refused(id);
        if error.is_disk_full() && !error.is_poisoned() {
            return Ok(Acted::Full);
        }
    } else {
        return Err(error);
    }
    Ok(Acted::Nothing)
}
