//! A store that hangs in this process: nobody can end its thread, so the process ends with it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::timeline::Timeline;
use crate::crash::CrashKind;
use crate::finding::Finding;
use crate::oracle::Violation;

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to say of a store that hangs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) subject: String,
    pub(crate) crash: CrashKind,
    pub(crate) seed: u64,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Where the failure is saved.
    pub(crate) out: PathBuf,
}

/// Looks after one thread's store.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    /// Milliseconds after `started` at which the store was called, plus one; 0 if it is not.
    called: AtomicU64,
    /// What it lives through.
    doing: Mutex<Option<Timeline>>,
}

impl Watch {
    /// Watches until the last hand on it is dropped.
    pub(crate) fn begin(about: About) -> Arc<Self> {
        let watch = Arc::new(Self {
            started: Instant::now(),
            called: AtomicU64::new(0),
            doing: Mutex::new(None),
        });
        let watched = Arc::downgrade(&watch);
        thread::spawn(move || {
            while let Some(watch) = watched.upgrade() {
                if watch.hangs(about.limit) {
                    watch.give_up(&about);
                }
                drop(watch);
                thread::sleep(LOOK_EVERY);
            }
        });
        watch
    }

    /// Notes what the store is about to live through.
    pub(crate) fn note(&self, timeline: Timeline) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(timeline);
    }

    /// Calls the store.
    pub(crate) fn call<T>(&self, store: impl FnOnce() -> T) -> T {
        self.called.store(self.now() + 1, Ordering::Relaxed);
        let result = store();
        self.called.store(0, Ordering::Relaxed);
        result
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn hangs(&self, limit: Duration) -> bool {
        let called = self.called.load(Ordering::Relaxed);
        called > 0 && u128::from(self.now().saturating_sub(called - 1)) > limit.as_millis()
    }

    /// Saves what is known and ends the process, with the status of a violation.
    fn give_up(&self, about: &About) -> ! {
        let timeline = self
            .doing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let violation = Violation::Broken {
            stage: "the store hangs".into(),
            detail: format!("no end after {:?}", about.limit),
        };
        let saved = tempfile::tempdir().and_then(|image| {
            let finding = Finding {
                version: env!("CARGO_PKG_VERSION").into(),
                subject: about.subject.clone(),
                engine: timeline
                    .as_ref()
                    .map_or_else(String::new, |t| t.engine.clone()),
                crash: about.crash,
                seed: about.seed,
                crash_point: "in the last life of the timeline, or in the recovery of one of its \
                              crash states"
                    .into(),
                violation: violation.clone(),
                oracle: serde_json::Value::Null,
                workloads: Vec::new(),
                script: Vec::new(),
                events: Vec::new(),
                image: image.path().to_owned(),
                timeline,
                disk: None,
                tale: Some(String::new()),
                black_box: None,
            };
            finding.save(&about.out)
        });
        match saved {
            Ok(folder) => eprintln!(
                "{}: {violation}\n  saved in {}",
                about.subject,
                folder.display()
            ),
            Err(error) => eprintln!("{}: {violation}\n  (not saved: {error})", about.subject),
        }
        eprintln!("A store that hangs in this process cannot be ended: the torture ends here.");
        std::process::exit(1);
    }
}
