//! Failures that are known already: a torture passes over them, so that others behind them are found.

use std::str::FromStr;

use glob::Pattern;

use crate::oracle::Violation;

/// Classes of failures that are known; see [`Violation::class`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known(pub(crate) Vec<KnownClass>);

impl Known {
    pub(crate) fn is_class(&self, class: &str) -> bool {
        self.0.iter().any(|known| known.is(class))
    }

    pub(crate) fn contains(&self, violation: &Violation) -> bool {
        !self.0.is_empty() && self.is_class(&violation.class())
    }
}

/// A class of failures, or a pattern for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownClass(Pattern);

impl KnownClass {
    /// A class says what a store said, which may look like a pattern.
    fn is(&self, class: &str) -> bool {
        self.0.as_str() == class || self.0.matches(class)
    }
}

impl FromStr for KnownClass {
    type Err = String;

    fn from_str(class: &str) -> Result<Self, String> {
        let parsed = Pattern::new(class).or_else(|_| Pattern::new(&Pattern::escape(class)));
        parsed
            .map(Self)
            .map_err(|error| format!("'{class}' is no pattern for classes of failures: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(classes: &[&str]) -> Known {
        let parsed = classes.iter().map(|class| class.parse());
        Known(parsed.collect::<Result<_, _>>().expect("patterns"))
    }

    #[test]
    fn a_class_is_known_by_its_name_or_by_a_pattern() {
        let lost = Violation::LostAck { id: 1, position: 2 };
        for classes in [&["lost"][..], &["hole", "lo*"]] {
            assert!(known(classes).contains(&lost));
        }
        for classes in [&[][..], &["los"], &["hole"]] {
            assert!(!known(classes).contains(&lost));
        }
    }

    #[test]
    fn words_of_a_store_are_no_pattern() {
        let class = "recovery failed: panic: [a] *** ]";
        assert!(known(&[class]).is_class(class));
        assert!(known(&["recovery failed: *"]).is_class(class));
    }
}
