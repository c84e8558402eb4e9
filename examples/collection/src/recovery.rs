//! What is left after a crash, made a collection again: the log, the manifest, its segments, and the log's
//! operations from the manifest's position on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use groupwal::{Create, Storage, StorageDir, Wal};
use tokio::sync::{Notify, RwLock, Semaphore, watch};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::ingest::Ingestion;
use crate::limits::Limits;
use crate::log::{LOG, LogId};
use crate::manifest::{self, Manifest};
use crate::memory::Memory;
use crate::options::{AcceptLog, Config, Options};
use crate::segment::{self, Segment};
use crate::view::{Progress, Shared, View};

/// Opens the collection in `path`, or begins one. When it returns, everything that is durable is visible.
pub(crate) async fn recover(
    storage: Arc<dyn Storage>,
    path: &Path,
    config: Option<Config>,
    options: Options,
) -> Result<(Arc<Shared>, Ingestion)> {
    let path = std::path::absolute(path).map_err(|error| Error::io("resolve", path, error))?;
    let look = {
        let (storage, path) = (Arc::clone(&storage), path.clone());
        move || look(&*storage, &path)
    };
    let Before { dir, known } = options.blocking.run(look).await?;
    // Before everything else that matters: its lock keeps others off the whole directory.
    let wal = open_log(&storage, &path, known.as_ref(), config, &options).await?;
    let files = {
        let (wal, accept) = (wal.clone(), options.accept_log);
        let open = move || {
            let dir = match dir {
                Some(dir) => dir,
                // The log has created it.
                None => open_dir(&*storage, &path)?,
            };
            open_files(dir, &wal, config, accept)
        };
        options.blocking.run(open).await?
    };
    let manifest = files.manifest;
    let config = manifest.config;
    let view = View {
        memory: Memory::new(config.dimension as usize),
        segments: files.segments.into(),
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
        dir: files.dir,
        unknown_files: files.unknown,
        config,
        options,
        view: Arc::new(RwLock::new(view)),
        progress: watch::Sender::new(progress),
        appended: Notify::new(),
        stop: AtomicBool::new(false),
    });
    let mut ingestion = Ingestion::new(Arc::clone(&shared), manifest);
    ingestion.recover().await?;
    Ok((shared, ingestion))
}

fn open_dir(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn StorageDir>> {
    let opened = storage.open_dir(path);
    opened.map_err(|error| Error::io("open", path, error))
}

/// What is there before the log is opened. The manifest is read again under the log's lock: until then
/// another process may replace it, but not take it away.
#[derive(Default)]
struct Before {
    dir: Option<Arc<dyn StorageDir>>,
    known: Option<Manifest>,
}

fn look(storage: &dyn Storage, path: &Path) -> Result<Before> {
    let dir = match storage.open_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Before::default()),
        opened => opened.map_err(|error| Error::io("open", path, error))?,
    };
    let known = Manifest::load(&*dir)?;
    let dir = Some(dir);
    Ok(Before { dir, known })
}

/// Opens the log; begins one for a new collection only, or where its loss is accepted. A manifest is
/// published after the log was created: where there is a manifest, there was a log.
async fn open_log(
    storage: &Arc<dyn Storage>,
    path: &Path,
    known: Option<&Manifest>,
    config: Option<Config>,
    options: &Options,
) -> Result<Wal> {
    let create = match (known, config) {
        (Some(_), _) if options.accept_log == AcceptLog::Lost => Create::AfterLoss,
        (Some(_), _) | (None, None) => Create::Never,
        (None, Some(_)) => Create::IfMissing,
    };
    let log = path.join(LOG);
    let opened = Wal::open_with(Arc::clone(storage), &log, options.log().create(create)).await;
    opened.map_err(|error| match known {
        None if error.is_no_log() => Error::new(Kind::Missing(path.to_owned())),
        Some(manifest) if error.is_no_log() => Error::new(Kind::LogLost {
            log,
            position: manifest.position,
        }),
        Some(_) if error.is_corruption() => Error::new(Kind::LogDamaged { log, error }),
        _ => error.into(),
    })
}

struct Files {
    dir: Arc<dyn StorageDir>,
    manifest: Manifest,
    segments: Vec<Arc<Segment>>,
    unknown: Vec<String>,
}

fn open_files(
    dir: Arc<dyn StorageDir>,
    wal: &Wal,
    config: Option<Config>,
    accept: AcceptLog,
) -> Result<Files> {
    let mut manifest = match Manifest::load(&*dir)? {
        Some(manifest) => {
            if let Some(config) = config {
                manifest.check_config(&*dir, config)?;
            }
            manifest
        }
        None => begin(&*dir, wal, config)?,
    };
    let is_accepted = check_log(&*dir, &mut manifest, wal, accept)?;
    // The log goes on where the segments end: neither may have lost what the other counts on.
    let (position, trimmed, durable) = (manifest.position, wal.trim_seq(), wal.durable_seq());
    if !(trimmed..=durable).contains(&position) {
        let detail = format!(
            "it goes up to operation {position}, and the log holds those from {trimmed} to {durable}"
        );
        return Err(Error::corrupt(&Manifest::path(&*dir), detail));
    }
    let open = |info: &segment::SegmentInfo| {
        let dimension = manifest.config.dimension as usize;
        Segment::open(&*dir, *info, dimension).map(Arc::new)
    };
    let segments: Result<Vec<_>> = manifest.segments.iter().map(open).collect();
    let segments = segments?;
    if is_accepted {
        manifest.publish(&*dir)?;
    } else {
        // A process that could not sync the directory may have left a manifest that a power cut takes back:
        // what the one before it needs goes only when this one is durable.
        files::sync_dir(&*dir)?;
    }
    let unknown = remove_leftovers(&*dir, &manifest)?;
    Ok(Files {
        dir,
        manifest,
        segments,
        unknown,
    })
}

/// A new collection's manifest. Nothing may have been logged before it is durable.
fn begin(dir: &dyn StorageDir, wal: &Wal, config: Option<Config>) -> Result<Manifest> {
    let path = Manifest::path(dir);
    if wal.durable_seq() > 0 {
        let detail = "it is missing, and the log is not empty";
        return Err(Error::corrupt(&path, detail));
    }
    let is_segment = |name: &String| segment::id_of(name).is_some();
    if let Some(name) = files::list(dir)?.into_iter().find(is_segment) {
        let detail = format!("it is missing, and there are segments, such as {name}");
        return Err(Error::corrupt(&path, detail));
    }
    let Some(config) = config else {
        return Err(Error::new(Kind::Missing(dir.path().to_owned())));
    };
    let manifest = Manifest::new(config, LogId::of(wal));
    manifest.publish(dir)?;
    Ok(manifest)
}

/// Refuses a log that is not the one the manifest counts on, unless that is accepted. Returns whether the
/// manifest was changed for it and is to be published before anything else happens.
fn check_log(
    dir: &dyn StorageDir,
    manifest: &mut Manifest,
    wal: &Wal,
    accept: AcceptLog,
) -> Result<bool> {
    let found = LogId::of(wal);
    let is_empty = wal.durable_seq() == 0;
    match manifest.log_id.replace(found) {
        Some(known) if known == found => Ok(false),
        // Also after a crash between the new log's beginning and the manifest's publication.
        _ if accept == AcceptLog::Lost && is_empty => {
            manifest.position = 0;
            Ok(true)
        }
        // Of version 1: the next publication adds the id.
        None => Ok(false),
        Some(_) if accept == AcceptLog::Other => Ok(true),
        Some(known) => Err(Error::new(Kind::OtherLog {
            log: dir.path().join(LOG),
            known,
            found,
        })),
    }
}

/// Removes what an interrupted flush or merge left, and segments that a merge had replaced. Returns the names
/// that are not the collection's.
fn remove_leftovers(dir: &dyn StorageDir, manifest: &Manifest) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for name in files::list(dir)? {
        let is_wanted = segment::id_of(&name).is_some_and(|id| manifest.lists(id));
        if is_wanted || [manifest::NAME, LOG].contains(&&*name) {
            continue;
        }
        if manifest.is_leftover(&name) {
            files::remove(dir, &name)?;
        } else {
            unknown.push(name);
        }
    }
    unknown.sort_unstable();
    if !unknown.is_empty() {
        tracing::warn!(
            dir = %dir.path().display(),
            files = %unknown.join(", "),
            "files that are not the collection's: left alone"
        );
    }
    Ok(unknown)
}
