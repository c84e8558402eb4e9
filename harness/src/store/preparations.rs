//! Stores that are to be there before they are tortured.

use std::path::{Path, PathBuf};

use crate::image::Image;

/// What fresh directories hold, for each engine and each directory: a store may keep its path.
#[derive(Default)]
pub(crate) struct Preparations {
    /// A directory to begin with, instead of what the store prepares.
    given: Option<PathBuf>,
    made: Vec<Made>,
}

struct Made {
    engine: String,
    dir: PathBuf,
    image: Image,
}

impl Preparations {
    pub(super) fn new(given: Option<&Path>) -> Self {
        Self {
            given: given.map(Path::to_owned),
            made: Vec::new(),
        }
    }

    pub(super) fn given(&self) -> Option<&Path> {
        self.given.as_deref()
    }

    pub(super) fn made(&self, engine: &str, dir: &Path) -> Option<&Image> {
        let is_it = |made: &&Made| made.engine == engine && made.dir == dir;
        self.made.iter().find(is_it).map(|made| &made.image)
    }

    /// What a failure's page says of it.
    pub(super) fn about(&self) -> Option<String> {
        let is_empty = |made: &Made| made.image.entries().next().is_none();
        let from = match &self.given {
            _ if self.made.iter().all(is_empty) => return None,
            Some(given) => format!("a copy of `{}`", given.display()),
            None => "a prepared store".to_owned(),
        };
        Some(format!("each directory begins with {from}"))
    }

    pub(super) fn keep(&mut self, engine: &str, dir: &Path, image: Image) {
        self.made.push(Made {
            engine: engine.to_owned(),
            dir: dir.to_owned(),
            image,
        });
    }
}
