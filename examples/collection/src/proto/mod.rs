//! The messages and the service, made from `proto/collection.proto`.
//!
//! The code is committed, as those of `tonic-health` and `tonic-reflection` are: a protobuf compiler in the
//! build would cost everybody more than the rest of this package, and ask for nothing that changes. After a
//! change of the `.proto` run `cargo run --manifest-path examples/collection/codegen/Cargo.toml`.

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
mod generated;

pub use generated::*;

/// What reflection tells of them.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

impl From<u128> for Id {
    fn from(id: u128) -> Self {
        let [high, low] =
            [id >> 64, id & u128::from(u64::MAX)].map(|half| u64::try_from(half).expect("64 bits"));
        Self { high, low }
    }
}

impl From<&Id> for u128 {
    fn from(id: &Id) -> Self {
        Self::from(id.high) << 64 | Self::from(id.low)
    }
}
