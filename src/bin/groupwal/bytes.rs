//! Numbers of bytes, for people.

/// `3.2 MiB`
pub(crate) fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
