//! Files that differ from run to run, whatever a store promises: they hold process ids, or times.

use std::path::Path;
use std::str::FromStr;

use glob::Pattern;

/// A pattern for names in a store's directory.
#[derive(Clone, Debug)]
pub(crate) struct Ignored(Pattern);

impl Ignored {
    /// Whether a name, relative to the store's directory, is meant.
    pub(crate) fn contains(&self, name: &Path) -> bool {
        self.0.matches_path(name)
    }
}

impl FromStr for Ignored {
    type Err = String;

    fn from_str(pattern: &str) -> Result<Self, String> {
        let parsed = Pattern::new(pattern);
        parsed
            .map(Self)
            .map_err(|error| format!("'{pattern}' is no pattern for file names: {error}"))
    }
}
