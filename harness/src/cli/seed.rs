//! A seed where none was given.

use rand_chacha::rand_core::Rng;

use crate::workload::stream;

/// A seed that a person can type.
pub(super) fn draw_seed() -> u32 {
    let time = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    let process = u64::from(std::process::id());
    stream(
        time.as_secs() ^ u64::from(time.subsec_nanos()) << 32,
        process,
    )
    .next_u32()
}
