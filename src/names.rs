//! The names of a log's files.
//!
//! ```text
//! LOCK                        held by the process that owns the log
//! 00000000000000000007.seg    segment 7
//! 00000000000000000003.spare  a file to be made into a segment; its content means nothing
//! ```
//!
//! Names of any other form are not the log's and are left alone.

use crate::error::{Error, Result};
use crate::storage::StorageDir;

/// The file whose lock says that the log is in use.
pub(crate) const LOCK_NAME: &str = "LOCK";

const SEGMENT_SUFFIX: &str = ".seg";
const SPARE_SUFFIX: &str = ".spare";

/// The final name of a segment.
pub(crate) fn segment_name(segment_id: u64) -> String {
    format!("{segment_id:020}{SEGMENT_SUFFIX}")
}

/// The name of a file that is to be made into a segment.
pub(crate) fn spare_name(number: u64) -> String {
    format!("{number:020}{SPARE_SUFFIX}")
}

/// The id in a segment's name.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    number(name, SEGMENT_SUFFIX)
}

fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    ours.then(|| digits.parse().ok()).flatten()
}

/// The files of a log that a directory names.
pub(crate) struct Listing {
    /// Lowest first.
    pub(crate) segment_ids: Vec<u64>,
    /// Numbers of the spare files, lowest first.
    pub(crate) spares: Vec<u64>,
}

impl Listing {
    /// Reads the names in a log's directory.
    pub(crate) fn read(dir: &dyn StorageDir) -> Result<Self> {
        let names = dir
            .list()
            .map_err(|error| Error::io("list", dir.path(), error))?;
        let numbers = |suffix| {
            let mut found: Vec<u64> = names
                .iter()
                .filter_map(|name| number(name, suffix))
                .collect();
            found.sort_unstable();
            found
        };
        Ok(Self {
            segment_ids: numbers(SEGMENT_SUFFIX),
            spares: numbers(SPARE_SUFFIX),
        })
    }
}
