//! How a command ends.

pub(super) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A server's answer without the words around it.
pub(super) fn message(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<tonic::Status>() {
        Some(status) => format!("{}: {}", status.code(), status.message()),
        None => error.to_string(),
    }
}
