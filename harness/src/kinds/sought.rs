//! Which failures a search is for.

use crate::known::Known;
use crate::oracle::Violation;

/// Which failures end a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// The first one that is not known already.
    First(Known),
    /// None: of each class that is not known already the first one is kept.
    Each(Known),
    /// The first one of this class; others are not looked at.
    Class(String),
}

impl Sought {
    /// What a row looks for: a row that continues after failures wants one of each class.
    pub(crate) fn by(goes_on: bool, known: &Known) -> Self {
        if goes_on {
            Self::Each(known.clone())
        } else {
            Self::First(known.clone())
        }
    }

    /// Whether a failure is passed over: it is counted, and nothing of it is kept.
    pub(crate) fn passes_over(&self, violation: &Violation) -> bool {
        match self {
            Self::First(known) | Self::Each(known) => known.contains(violation),
            Self::Class(_) => false,
        }
    }

    pub(crate) fn ends_with(&self, violation: &Violation) -> bool {
        match self {
            Self::First(known) => !known.contains(violation),
            Self::Each(_) => false,
            Self::Class(class) => violation.class() == *class,
        }
    }
}
