//! Positions in a log.

/// The position of an entry in a log: the first is 0, and there are no gaps.
pub type SeqNo = u64;
