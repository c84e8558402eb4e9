//! The seam between the log and the outside: files, names, locks and entropy.
//!
//! Everything the log does to a disk goes through [`Storage`] and [`StorageFile`], so that a test
//! can put a simulated disk underneath or decorate the real one with faults. The traits state what
//! an implementation must guarantee *after a crash*; recovery relies on each sentence.

#[cfg(target_os = "linux")]
mod locks;
mod os;
mod raw;
mod traits;
mod whole;

pub use self::os::OsStorage;
pub use self::raw::RawFile;
pub use self::traits::{FileIdentity, Storage, StorageDir, StorageFile};
pub(crate) use self::whole::{
    read_cached_exact_at, read_exact_at, write_all, write_all_at, write_all_durable_at,
};
