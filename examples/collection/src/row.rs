//! A row: what is known of a document for a user.

use std::ops::RangeInclusive;

/// Rows are ordered by user, then by document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) user: u128,
    pub(crate) doc: u128,
}

impl Key {
    /// From a user's first key to the last.
    pub(crate) fn all_of(user: u128) -> RangeInclusive<Self> {
        let (first, last) = (u128::MIN, u128::MAX);
        Self { user, doc: first }..=Self { user, doc: last }
    }
}

/// A document for a user; `None`: it was removed, whatever older rows say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) key: Key,
    pub(crate) vector: Option<&'a [f32]>,
}
