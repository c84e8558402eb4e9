//! Which failures a search is for.

use crate::oracle::Violation;

/// Which failures end a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// The first one.
    First,
    /// None: of each class the first one is kept.
    Each,
    /// The first one of this class; others are not looked at.
    Class(String),
}

impl Sought {
    /// What a row looks for: a row that continues after failures wants one of each class.
    pub(crate) fn by(goes_on: bool) -> Self {
        if goes_on { Self::Each } else { Self::First }
    }

    pub(crate) fn ends_with(&self, violation: &Violation) -> bool {
        match self {
            Self::First => true,
            Self::Each => false,
            Self::Class(class) => violation.class() == *class,
        }
    }
}
