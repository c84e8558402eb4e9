//! A worked example on [`groupwal`]: a collection of vectors, served over gRPC.
//!
//! An insert answers when the log has made it durable; a task follows the log and takes operations into
//! memory, in order; a flush moves them into an immutable segment file and trims the log. What is
//! acknowledged survives.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use collection::{Collection, Config, Metric, Options};
//!
//! # let tmp = tempfile::tempdir()?;
//! # let dir = tmp.path().join("data");
//! let config = Config { dimension: 3, metric: Metric::L2 };
//! let collection = Collection::open(&dir, Some(config), Options::default()).await?;
//!
//! let (docs, users) = ([1, 2], [7]);
//! let seq = collection.insert(&docs, &users, &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0]).await?;
//!
//! let found = collection.search(7, &[0.0, 0.1, 0.9], 1, Some(seq), false).await?;
//! assert_eq!(found.hits[0].doc, 1);
//!
//! collection.flush().await?;
//! collection.close().await?;
//! # Ok(()) }
//! ```

mod blocking;
pub mod cli;
pub mod client;
mod collection;
mod error;
mod files;
mod ingest;
mod limits;
mod log;
mod manifest;
mod memory;
mod merge;
mod metric;
mod options;
pub mod proto;
mod publish;
mod recovery;
mod row;
mod search;
mod segment;
pub mod server;
mod service;
mod view;

pub use blocking::Blocking;
pub use collection::{Collection, Stats};
pub use error::{Error, Result};
pub use metric::Metric;
pub use options::{AcceptLog, Config, DIMENSION_MAX, Options};
pub use search::{Found, Hit};
