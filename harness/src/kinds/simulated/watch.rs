//! Looks after a store in this process: one that does not return hangs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::timeline::Timeline;
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Head};
use crate::hang::{Hang, OnHang};
use crate::oracle::{Stage, Violation};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to say of a store that hangs.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) subject: String,
    pub(crate) crash: CrashKind,
    pub(crate) seed: u64,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Where the failure is saved.
    pub(crate) out: PathBuf,
    pub(crate) on_hang: OnHang,
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
                    (about.on_hang)(watch.hang(&about));
                    return;
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

    /// Saves what is known.
    fn hang(&self, about: &About) -> Hang {
        let timeline = self
            .doing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let violation = Violation::Broken {
            stage: Stage::StoreHangs,
            detail: format!("no end after {:?}", about.limit),
        };
        let engine = timeline.as_ref().map_or("", |timeline| &timeline.engine);
        let head = Head::new(&about.subject, engine, violation.clone());
        let saved = tempfile::tempdir().and_then(|image| {
            let finding = Finding::new(about.crash, about.seed, head)
                .at("in the last life of the timeline, or in the recovery of one of its crash states")
                .with_image(image.path())
                .with_evidence(&timeline);
            finding.save(&about.out)
        });
        Hang {
            subject: about.subject.clone(),
            crash: about.crash,
            seed: about.seed,
            violation,
            saved,
        }
    }
}
