//! What is left after a crash, made a collection again: the log, the manifest, its segments, and the log's
//! operations from the manifest's position on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use groupwal::{Storage, Wal};
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::ingest::Ingestion;
use crate::limits::Limits;
use crate::manifest::{Manifest, PublishError};
use crate::memory::Memory;
use crate::options::{Config, Options};
use crate::segment::{self, Segment};
use crate::view::{Progress, Shared, View};

/// The log's directory in that of the collection.
pub(crate) const LOG: &str = "log";

/// Opens the collection in `dir`, or begins one. When it returns, everything that is durable is visible.
pub(crate) async fn recover(
    storage: Arc<dyn Storage>,
    dir: &Path,
    config: Option<Config>,
    options: Options,
) -> Result<(Arc<Shared>, Ingestion)> {
    // First of all: its lock keeps others off the whole directory.
    let wal = Wal::open_with(Arc::clone(&storage), dir.join(LOG), options.log()).await?;
    let files = {
        let (storage, wal, dir) = (Arc::clone(&storage), wal.clone(), dir.to_owned());
        let open = move || open_files(&*storage, &dir, &wal, config);
        options.blocking.run(open).await?
    };
    let Files { manifest, segments } = files;
    let config = manifest.config;
    let view = View {
        memory: Memory::new(config.dimension as usize),
        segments: segments.into(),
        visible: manifest.position,
    };
    let progress = Progress {
        visible: manifest.position,
        flushed: manifest.position,
        stalled: None,
        flush_error: None,
        halted: None,
    };
    let shared = Arc::new(Shared {
        limits: Limits::new(config, &options),
        searches: Semaphore::new(options.searches_max),
        wal,
        storage,
        dir: dir.to_owned(),
        config,
        options,
        view: Arc::new(RwLock::new(view)),
        progress: watch::Sender::new(progress),
        appended: Notify::new(),
        stop: AtomicBool::new(false),
    });
    let mut ingestion = Ingestion::new(Arc::clone(&shared), manifest);
    ingestion.catch_up().await?;
    Ok((shared, ingestion))
}

struct Files {
    manifest: Manifest,
    segments: Vec<Arc<Segment>>,
}

fn open_files(
    storage: &dyn Storage,
    dir: &Path,
    wal: &Wal,
    config: Option<Config>,
) -> Result<Files> {
    let manifest = match Manifest::load(storage, dir)? {
        Some(manifest) => {
            if let Some(config) = config {
                manifest.check_config(dir, config)?;
            }
            manifest
        }
        None => begin(storage, dir, wal, config)?,
    };
    // The log goes on where the segments end: neither may have lost what the other counts on.
    let (position, trimmed, durable) = (manifest.position, wal.trim_seq(), wal.durable_seq());
    if !(trimmed..=durable).contains(&position) {
        let detail = format!(
            "it goes up to operation {position}, and the log holds those from {trimmed} to {durable}"
        );
        return Err(Error::corrupt(&Manifest::path(dir), detail));
    }
    let open = |info: &segment::SegmentInfo| {
        let dimension = manifest.config.dimension as usize;
        Segment::open(storage, dir, *info, dimension).map(Arc::new)
    };
    let segments: Result<Vec<_>> = manifest.segments.iter().map(open).collect();
    let segments = segments?;
    remove_leftovers(storage, dir, &manifest)?;
    Ok(Files { manifest, segments })
}

/// A new collection's manifest. Nothing may have been logged before it is durable.
fn begin(storage: &dyn Storage, dir: &Path, wal: &Wal, config: Option<Config>) -> Result<Manifest> {
    let path = Manifest::path(dir);
    if wal.durable_seq() > 0 {
        let detail = "it is missing, and the log is not empty";
        return Err(Error::corrupt(&path, detail));
    }
    let Some(config) = config else {
        return Err(Error::new(Kind::Missing(dir.to_owned())));
    };
    let manifest = Manifest::new(config);
    match manifest.publish(storage, dir) {
        Ok(()) => Ok(manifest),
        Err(PublishError::NotPublished(error) | PublishError::Unknown(error)) => Err(error),
    }
}

/// Removes what an interrupted flush or merge left, and segments that a merge had replaced.
fn remove_leftovers(storage: &dyn Storage, dir: &Path, manifest: &Manifest) -> Result<()> {
    let names = storage.list(dir);
    for name in names.map_err(|error| Error::io("list", dir, error))? {
        let path = dir.join(&name);
        let of = |info: &segment::SegmentInfo| segment::path(dir, info.id) == path;
        let is_unwanted = segment::is_segment(&name) && !manifest.segments.iter().any(of);
        if is_unwanted || Manifest::is_leftover(&name) {
            files::remove(storage, &path)?;
        }
    }
    Ok(())
}
