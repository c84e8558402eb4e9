//! The manifest: which segments there are, and up to where in the log they go.
//!
//! A line of JSON, and a line with its CRC-64/NVME in hexadecimal. It is replaced as a whole: a new file is
//! written and synced beside it, renamed over it, and the directory synced.

use std::path::{Path, PathBuf};

use groupwal::Storage;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::files::{self, File};
use crate::options::Config;
use crate::segment::SegmentInfo;

const NAME: &str = "MANIFEST";
/// A name that no reader looks at.
const NEW_NAME: &str = "MANIFEST.new";
const VERSION: u32 = 1;
/// A line for each segment, of which there are few: anything longer is no manifest.
const BYTES_MAX: u64 = 16 << 20;

/// What is durable beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    pub(crate) config: Config,
    /// Every operation below it is in the segments. Never above what is durable in the log.
    pub(crate) position: u64,
    /// No segment with this id or a higher one is named.
    pub(crate) next_segment: u64,
    /// Oldest first.
    pub(crate) segments: Vec<SegmentInfo>,
}

/// What became of a manifest that could not be published.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// The old one is still in force.
    NotPublished(Error),
    /// After a crash it may be the old one or the new one: both must go on to be true.
    Unknown(Error),
}

impl Manifest {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            version: VERSION,
            config,
            position: 0,
            next_segment: 0,
            segments: Vec::new(),
        }
    }

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// Whether a file in the directory was left behind by a publication that a crash interrupted.
    pub(crate) fn is_leftover(name: &str) -> bool {
        name == NEW_NAME
    }

    /// Reads it; `None` if there is none.
    pub(crate) fn load(storage: &dyn Storage, dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        let names = storage.list(dir);
        let names = names.map_err(|error| Error::io("list", dir, error))?;
        if !names.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = File::open(storage, &path)?;
        let corrupt = |detail: &str| Error::corrupt(&path, detail);
        let length = file.length()?;
        let length = Some(length).filter(|length| *length <= BYTES_MAX);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut bytes = vec![0; length.ok_or_else(|| corrupt("it is too large"))?];
        file.read_exact_at(&mut bytes, 0)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| corrupt("it is not UTF-8"))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let &[json, checksum, ""] = lines.as_slice() else {
            return Err(corrupt("it does not consist of two lines"));
        };
        if checksum != checksum_of(json) {
            return Err(corrupt("its checksum is wrong"));
        }
        let manifest: Self =
            serde_json::from_str(json).map_err(|error| corrupt(&error.to_string()))?;
        if manifest.version != VERSION {
            let detail = format!(
                "it is of version {}, and this program reads {VERSION}",
                manifest.version
            );
            return Err(corrupt(&detail));
        }
        Ok(Some(manifest))
    }

    /// Puts it in force, durably.
    pub(crate) fn publish(&self, storage: &dyn Storage, dir: &Path) -> Result<(), PublishError> {
        let new = dir.join(NEW_NAME);
        self.write(storage, &new)
            .map_err(PublishError::NotPublished)?;
        // From here on a crash may leave either.
        let path = Self::path(dir);
        let renamed = storage.rename(&new, &path);
        renamed.map_err(|error| PublishError::Unknown(Error::io("rename to", &path, error)))?;
        files::sync_dir(storage, dir).map_err(PublishError::Unknown)
    }

    fn write(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        let json = serde_json::to_string(self).expect("numbers and words");
        let text = format!("{json}\n{}\n", checksum_of(&json));
        files::remove(storage, path)?;
        let file = File::create(storage, path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync()
    }

    /// Refuses to be another collection than was asked for.
    pub(crate) fn check_config(&self, dir: &Path, wanted: Config) -> Result<()> {
        if self.config == wanted {
            return Ok(());
        }
        let of = |config: Config| format!("dimension {} and {}", config.dimension, config.metric);
        Err(Error::new(Kind::Mismatch(format!(
            "the collection in {} has {}, not {}: that was fixed when it was created",
            dir.display(),
            of(self.config),
            of(wanted)
        ))))
    }
}

fn checksum_of(json: &str) -> String {
    format!("{:016x}", crc_fast::crc64_nvme(json.as_bytes()))
}
