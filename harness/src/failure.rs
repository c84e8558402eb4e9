//! A violation, kept so that it can be looked at and checked again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::history::Event;
use crate::oracle::{LogOracle, Violation};
use crate::scratch::copy_dir;
use crate::workload::Workload;

/// Everything that is needed to check a violation again: the crash image as the kill left it, what
/// had been announced, and what the oracle knew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Subject under test.
    pub subject: String,
    /// Its engine.
    pub engine: String,
    /// The broken promise.
    pub violation: Violation,
    /// What the oracle knew of the generations before.
    pub oracle: LogOracle,
    /// The workloads of this directory, the failed one last.
    pub workloads: Vec<Workload>,
    /// What the failed generation announced.
    pub events: Vec<Event>,
    /// The store's directory, copied before recovery touched it.
    pub image: PathBuf,
}

const FILE_NAME: &str = "failure.json";
const IMAGE_NAME: &str = "image";

impl Failure {
    /// Saves the failure as a new folder below `out`, and returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, out: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(out)?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-kill-", self.subject.replace('/', "-")))
            .disable_cleanup(true)
            .tempdir_in(out)?;
        let folder = folder.path();
        copy_dir(&self.image, &folder.join(IMAGE_NAME))?;
        let saved = Self {
            image: IMAGE_NAME.into(),
            ..self.clone()
        };
        fs::write(folder.join(FILE_NAME), serde_json::to_vec(&saved)?)?;
        Ok(folder.to_owned())
    }

    /// Loads a failure from its folder.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let bytes = fs::read(folder.join(FILE_NAME))?;
        let failure: Self = serde_json::from_slice(&bytes)?;
        Ok(Self {
            image: folder.join(&failure.image),
            ..failure
        })
    }
}
