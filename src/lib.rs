//! A write-ahead log for Tokio programs. Many tasks append at once; a *write group* makes their
//! entries durable with one write and one sync.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use groupwal::{Entry, Options, Wal};
//!
//! # let tmp = tempfile::tempdir()?;
//! # let dir = tmp.path().join("log");
//! # let options = Options::default().segment_bytes(8 << 20);
//! let wal = Wal::open(&dir, options).await?;
//!
//! // As many tasks as you like; each append returns when its entry would survive a power cut.
//! let tasks: Vec<_> = (0..100)
//!     .map(|i| {
//!         let wal = wal.clone();
//!         tokio::spawn(async move { wal.append(&format!("entry {i}")).await })
//!     })
//!     .collect();
//! for task in tasks {
//!     let seq = task.await??;
//!     assert!(seq < 100);
//! }
//!
//! // After a crash, the same loop brings everything back.
//! let mut replay = wal.replay(wal.trim_seq());
//! while let Some(record) = replay.next().await? {
//!     assert!(matches!(record.entry, Entry::Bytes(bytes) if bytes.starts_with(b"entry ")));
//! }
//!
//! // Once everything below a position is durable elsewhere, give it up.
//! wal.trim(50).await?;
//! wal.close().await?;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - An acknowledged entry is durable: it is acknowledged by a sync that began after its write had
//!   ended.
//! - Sequence numbers start at 0 (or where a [`Builder`] began the log) and have no gaps; they are in
//!   the order of the log.
//! - Recovery yields a prefix of the log, or refuses to open it; it never skips, invents or
//!   reorders.
//! - Dropping an append's future loses, delays or fails nobody else.
//! - After a failed sync the log is poisoned: nothing is acknowledged on a guess. Opening it again
//!   recovers it.
//! - Memory is bounded by [`Options`].
//!
//! # What cannot be promised
//!
//! - Damage to the very last group of a log that was not closed looks like a torn tail, and is cut as
//!   one. In the same way the newest segment file of such a log cannot be missed. [`Wal::close`] writes
//!   a seal, which vouches for everything before it, and says in the file LOCK how far the log went.
//! - Files that are removed under a running log are lost, and so is what is acknowledged into them
//!   until the log notices: at the next rotation, trim or close, at the latest. A log whose directory is
//!   renamed goes on in it; one whose LOCK or newest segment is gone or replaced stops
//!   ([`Error::is_displaced`]). Between that look and the change of a name another process can come.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod ancestors;
mod builder;
mod catalog;
mod cursor;
mod directory;
mod engine;
mod engine_kind;
mod entry;
mod error;
mod executor;
mod frame;
mod group;
pub mod inspect;
mod lock_file;
mod log;
mod metrics;
pub mod muopdb;
mod names;
mod options;
mod policy;
mod prepare;
mod recovery;
mod replay;
pub mod salvage;
mod scan;
mod segment;
mod seq_no;
mod shelf;
mod spare;
mod storage;
mod sync;
mod timer;
mod wal;

/// The on-disk codecs, for tools and fuzzers that read a log's bytes themselves.
pub mod format {
    pub use crate::entry::{DecodeError, decode};
    pub use crate::frame::{HEADER_BYTES, Header, Seed, payload_is_valid};
    pub use crate::segment::frame_places;
}

pub use builder::Builder;
pub use engine_kind::EngineKind;
pub use entry::{Delete, Documents, Encode, Entry, Insert, Op};
pub use error::{Error, Result};
pub use executor::Executor;
pub use metrics::{Histogram, MetricsSnapshot};
pub use options::{Create, Options};
pub use policy::SyncPolicy;
pub use recovery::{Discarded, RecoveryReport};
pub use replay::{Record, Records, Replay};
pub use seq_no::SeqNo;
pub use storage::{FileIdentity, OsStorage, RawFile, Storage, StorageDir, StorageFile};
pub use wal::Wal;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
