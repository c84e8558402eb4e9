//! The failures of earlier runs of a test: the next run looks at them first.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::report::Row;

/// The folder of a package that a user makes to have them beside the tests; else they are with the failures.
const BESIDE_TESTS: &str = "plugpull-regressions";
const WITH_FAILURES: &str = "regressions";
/// So many are kept of a test: the newest.
const KEPT_MAX: usize = 16;

/// A failure that a test has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Regression {
    pub(crate) crash: CrashKind,
    pub(crate) seed: u64,
    /// Its round, if the seed and the number do it again: then it is of use where its folder is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<u64>,
    /// What sort of failure it is, for readers.
    pub(crate) class: String,
    pub(crate) folder: PathBuf,
}

/// Where those of a test are kept: a JSON object a line.
#[derive(Clone, Debug)]
pub(crate) struct Regressions {
    path: PathBuf,
}

impl Regressions {
    /// Those of a test, whose failures are saved in `failures`.
    pub(crate) fn of(test: &str, failures: &Path) -> Self {
        let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let beside = package.map(|package| package.join(BESIDE_TESTS));
        let folder = beside.filter(|folder| folder.is_dir());
        let folder = folder.unwrap_or_else(|| failures.join(WITH_FAILURES));
        let name = test.replace("::", "-");
        Self {
            path: folder.join(format!("{name}.jsonl")),
        }
    }

    /// Those that were kept.
    ///
    /// # Errors
    /// If the file is there and cannot be read: it says what to do.
    pub(crate) fn load(&self) -> io::Result<Vec<Regression>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.explained(&error)),
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let parsed = lines.map(|line| serde_json::from_str(line).map_err(io::Error::from));
        parsed
            .collect::<io::Result<_>>()
            .map_err(|error| self.explained(&error))
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        let path = self.path.display();
        let reason = format!(
            "cannot read the failures of earlier runs in {path}: {error}; remove the file to forget them"
        );
        io::Error::new(error.kind(), reason)
    }

    /// Keeps the failures of these rows, those before them as long as they are of use.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn add(&self, rows: &[Row]) -> io::Result<()> {
        let mut kept = self.load()?;
        kept.retain(|known| known.round.is_some() || known.folder.is_dir());
        for (row, failure) in rows
            .iter()
            .flat_map(|row| row.failures.iter().map(move |failure| (row, failure)))
        {
            let Ok(finding) = Finding::load(&failure.folder) else {
                continue;
            };
            let folder = std::path::absolute(&failure.folder)?;
            kept.retain(|known| known.folder != folder);
            kept.push(Regression {
                crash: row.crash,
                seed: finding.seed,
                round: finding.round,
                class: failure.class.clone(),
                folder,
            });
        }
        let lines = kept.iter().skip(kept.len().saturating_sub(KEPT_MAX));
        let lines = lines.map(|known| serde_json::to_string(known).expect("plain data") + "\n");
        let lines: String = lines.collect();
        if lines.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(self.path.parent().expect("it is in a folder"))?;
        fs::write(&self.path, lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_failures_is_told_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let regressions = Regressions::of("a::test", dir.path());
        assert!(regressions.load().expect("there is none").is_empty());
        let path = dir.path().join("regressions/a-test.jsonl");
        assert_eq!(regressions.path, path);
        fs::create_dir(dir.path().join("regressions")).expect("made");
        fs::write(&path, "{}\n").expect("written");
        let error = regressions
            .load()
            .expect_err("it is no failure")
            .to_string();
        assert!(error.contains("a-test.jsonl"), "{error}");
        assert!(error.contains("remove the file"), "{error}");
        assert!(regressions.add(&[]).is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "{}\n");
    }
}
