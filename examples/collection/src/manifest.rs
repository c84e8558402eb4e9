//! The manifest: which segments there are, up to where in the log they go, and which log that is.
//!
//! A line of JSON, and a line with its CRC-64/NVME in hexadecimal. It is replaced as a whole: a new file is
//! written and synced under another name, renamed over it, and the directory synced.
//!
//! Version 2 has the log's id, and its `next_segment` is above every id that was ever given to a file. It is
//! the version that is written. Version 1, which can be read, has no log's id, and its `next_segment` is
//! above the ids that it names only.

use std::path::PathBuf;

use groupwal::StorageDir;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::files::{self, File};
use crate::log::LogId;
use crate::options::Config;
use crate::segment::{self, SegmentInfo};

/// Its name in the collection's directory.
pub(crate) const NAME: &str = "MANIFEST";
/// A name that no reader looks at.
const NEW_NAME: &str = "MANIFEST.new";
const VERSION: u32 = 2;
const VERSION_WITHOUT_LOG: u32 = 1;
/// A line for each segment, of which there are few: anything longer is no manifest.
const BYTES_MAX: u64 = 16 << 20;

/// What is durable beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    pub(crate) config: Config,
    /// The log that the collection counts on. `None` only after a manifest of version 1 was read.
    #[serde(default)]
    pub(crate) log_id: Option<LogId>,
    /// Every operation below it is in the segments. Never above what is durable in the log.
    pub(crate) position: u64,
    /// No segment with this id or a higher one is named or being written.
    pub(crate) next_segment: u64,
    /// Ids below `next_segment` that the collection did not use, because a file that it had not written had
    /// the name already. Such a file is never removed.
    #[serde(default)]
    skipped_segments: Vec<u64>,
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

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        let (PublishError::NotPublished(error) | PublishError::Unknown(error)) = error;
        error
    }
}

impl Manifest {
    pub(crate) fn new(config: Config, log_id: LogId) -> Self {
        Self {
            version: VERSION,
            config,
            log_id: Some(log_id),
            position: 0,
            next_segment: 0,
            skipped_segments: Vec::new(),
            segments: Vec::new(),
        }
    }

    pub(crate) fn path(dir: &dyn StorageDir) -> PathBuf {
        dir.path().join(NAME)
    }

    /// Whether a file in the directory was left behind by an interrupted publication, flush or merge, or by a
    /// merge that had replaced it: such names are the collection's own, and nothing in them is wanted.
    pub(crate) fn is_leftover(&self, name: &str) -> bool {
        let was_written = |id: u64| {
            let is_ours = id < self.next_segment && !self.skipped_segments.contains(&id);
            is_ours && !self.lists(id)
        };
        name == NEW_NAME || segment::id_of(name).is_some_and(was_written)
    }

    /// Whether it names a segment.
    pub(crate) fn lists(&self, id: u64) -> bool {
        self.segments.iter().any(|info| info.id == id)
    }

    /// Takes an id for a new segment. It must be durable before the file is made: otherwise the file that a
    /// crash leaves could not be told from one that was copied into the directory.
    pub(crate) fn take_segment_id(&mut self, dir: &dyn StorageDir) -> Result<u64> {
        loop {
            let id = self.next_segment;
            self.next_segment += 1;
            if !files::is_taken(dir, &segment::name(id))? {
                return Ok(id);
            }
            self.skip_segment_id(dir, id);
        }
    }

    /// Leaves a file alone that has a segment's name and was not written by the collection.
    pub(crate) fn skip_segment_id(&mut self, dir: &dyn StorageDir, id: u64) {
        let path = dir.path().join(segment::name(id));
        tracing::warn!(
            path = %path.display(),
            "not the collection's, in the place of its next segment: left alone, the id is skipped"
        );
        self.skipped_segments.push(id);
    }

    /// Reads it; `None` if there is none.
    pub(crate) fn load(dir: &dyn StorageDir) -> Result<Option<Self>> {
        let path = Self::path(dir);
        if !files::is_taken(dir, NAME)? {
            return Ok(None);
        }
        let file = File::open(dir, NAME)?;
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
        let parse_error = |error: serde_json::Error| corrupt(&error.to_string());
        let Version { version } = serde_json::from_str(json).map_err(parse_error)?;
        if !(VERSION_WITHOUT_LOG..=VERSION).contains(&version) {
            return Err(Error::new(Kind::Mismatch(format!(
                "{} is of version {version}, and this program reads {VERSION_WITHOUT_LOG} to {VERSION}: \
                 use a newer one",
                path.display()
            ))));
        }
        let mut manifest: Self = serde_json::from_str(json).map_err(parse_error)?;
        if manifest.log_id.is_some() != (version > VERSION_WITHOUT_LOG) {
            return Err(corrupt("its version and its log's id do not fit"));
        }
        manifest.version = VERSION;
        Ok(Some(manifest))
    }

    /// Puts it in force, durably.
    pub(crate) fn publish(&self, dir: &dyn StorageDir) -> Result<(), PublishError> {
        self.write(dir).map_err(PublishError::NotPublished)?;
        // From here on a crash may leave either.
        let path = Self::path(dir);
        let renamed = dir.rename(NEW_NAME, NAME);
        renamed.map_err(|error| PublishError::Unknown(Error::io("rename to", &path, error)))?;
        files::sync_dir(dir).map_err(PublishError::Unknown)
    }

    fn write(&self, dir: &dyn StorageDir) -> Result<()> {
        assert!(self.log_id.is_some(), "the log is known before it is used");
        let json = serde_json::to_string(self).expect("numbers and words");
        let text = format!("{json}\n{}\n", checksum_of(&json));
        files::remove(dir, NEW_NAME)?;
        let file = File::create(dir, NEW_NAME)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync()
    }

    /// Refuses to be another collection than was asked for.
    pub(crate) fn check_config(&self, dir: &dyn StorageDir, wanted: Config) -> Result<()> {
        if self.config == wanted {
            return Ok(());
        }
        let of = |config: Config| format!("dimension {} and {}", config.dimension, config.metric);
        Err(Error::new(Kind::Mismatch(format!(
            "the collection in {} has {}, not {}: that was fixed when it was created",
            dir.path().display(),
            of(self.config),
            of(wanted)
        ))))
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn checksum_of(json: &str) -> String {
    format!("{:016x}", crc_fast::crc64_nvme(json.as_bytes()))
}
