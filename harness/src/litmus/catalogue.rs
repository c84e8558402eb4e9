//! All litmus tests that there are.

use super::program::Litmus;
use super::{bytes, names, renames};

impl Litmus {
    /// All of them: first names, then bytes.
    pub fn all() -> Vec<Self> {
        let mut all = renames::litmuses();
        all.extend(names::litmuses());
        all.extend(bytes::litmuses());
        all
    }
}
