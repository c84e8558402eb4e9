//! Looks after a store in this process: one that does not return hangs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::unistd::{Pid, gettid};

use super::timeline::Timeline;
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Head};
use crate::hang::{Hang, OnHang};
use crate::oracle::{Stage, Violation};
use crate::process::Patience;

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
    /// What each directory begins with, if that was given.
    pub(crate) given: Option<PathBuf>,
    pub(crate) on_hang: OnHang,
}

/// Looks after one thread's store.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Beginnings and ends of calls of the store: odd while it is called.
    calls: AtomicU64,
    /// The thread that calls it.
    thread: AtomicI32,
    /// What it lives through.
    doing: Mutex<Option<Timeline>>,
}

/// A call of the store, which may end in a panic.
struct Call<'a>(&'a AtomicU64);

impl<'a> Call<'a> {
    fn begin(calls: &'a AtomicU64) -> Self {
        calls.fetch_add(1, Ordering::Release);
        Self(calls)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Watch {
    /// Watches until the last hand on it is dropped.
    pub(crate) fn begin(about: About) -> Arc<Self> {
        let watch = Arc::new(Self::default());
        let watched = Arc::downgrade(&watch);
        thread::spawn(move || {
            let mut call = 0;
            let mut patience = None;
            while let Some(watch) = watched.upgrade() {
                let now = watch.calls.load(Ordering::Acquire);
                if now % 2 == 0 || now != call {
                    (call, patience) = (now, None);
                }
                let told = match &mut patience {
                    None if call % 2 == 1 => {
                        patience = Some(watch.patience(about.limit));
                        None
                    }
                    None => None,
                    // A thread that has no time for too long has shown nothing: it is looked at further.
                    Some(patience) => patience.look().unwrap_or_default(),
                };
                if let Some(told) = told {
                    (about.on_hang)(watch.hang(&about, &told));
                    return;
                }
                drop(watch);
                thread::sleep(LOOK_EVERY);
            }
        });
        watch
    }

    fn patience(&self, limit: Duration) -> Patience {
        let thread = Pid::from_raw(self.thread.load(Ordering::Relaxed));
        Patience::with_thread(thread, limit).looking_every(LOOK_EVERY)
    }

    /// Notes what the store is about to live through.
    pub(crate) fn note(&self, timeline: Timeline) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(timeline);
    }

    /// Calls the store.
    pub(crate) fn call<T>(&self, store: impl FnOnce() -> T) -> T {
        self.thread.store(gettid().as_raw(), Ordering::Relaxed);
        let _call = Call::begin(&self.calls);
        store()
    }

    /// Saves what is known.
    fn hang(&self, about: &About, told: &str) -> Hang {
        let timeline = self
            .doing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let violation = Violation::Broken {
            stage: Stage::StoreHangs,
            detail: format!("no end after {:?}\n{told}", about.limit),
        };
        let engine = timeline.as_ref().map_or("", |timeline| &timeline.engine);
        let head = Head::new(&about.subject, engine, violation.clone());
        let saved = tempfile::tempdir().and_then(|image| {
            let finding = Finding::new(about.crash, about.seed, head)
                .at("in the last life of the timeline, or in the recovery of one of its crash states")
                .with_image(image.path())
                .with_evidence(&timeline)
                .with_given(about.given.as_deref());
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
