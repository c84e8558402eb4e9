//! The disk itself: an image, what is recorded of it, and how it breaks. It knows nothing of how
//! requests get here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::faults::{FaultPlan, Faults};
use super::image::Image;
use super::record::{Clock, Entry, Recording, Request, now, raise};

/// A disk that several threads may serve.
pub(super) struct Core {
    /// Changed while nobody uses the disk.
    clock: RwLock<Arc<dyn Clock>>,
    bytes: u64,
    /// Held for one request at a time, and never while anybody is answered.
    state: Mutex<State>,
}

struct State {
    image: Image,
    faults: Faults,
    recording: Option<Recording>,
}

/// The request failed.
#[derive(Debug)]
pub(super) struct Failed;

impl Core {
    pub(super) fn new(image: Image, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock: RwLock::new(clock),
            bytes: image.bytes(),
            state: Mutex::new(State {
                image,
                faults: Faults::default(),
                recording: None,
            }),
        }
    }

    /// A panic while the lock was held would have been one of ours, between two complete states.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        let clock = self.clock.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&clock)
    }

    /// Raises another clock from now on. Nobody may be using the disk.
    pub(super) fn set_clock(&self, clock: Arc<dyn Clock>) {
        *self.clock.write().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A request arrives: what the clock says. Call it first thing.
    pub(super) fn arrive(&self) -> u64 {
        now(&*self.clock())
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) {
        self.state().image.read(offset, into);
    }

    /// Carries out a request that arrived at `arrived`. When this returns, the clock has been raised
    /// and the kernel may be answered; not before.
    pub(super) fn carry_out(&self, arrived: u64, request: Request) -> Result<(), Failed> {
        let mut state = self.state();
        let failed = state.faults.fails(request.is_flush());
        if !failed {
            request.apply(&mut state.image);
        }
        if let Some(recording) = &mut state.recording {
            // Under the lock: the order of entries is the order of indices.
            let answered = raise(&*self.clock());
            recording.entries.push(Entry {
                arrived,
                answered,
                request,
                failed,
            });
        }
        if failed { Err(Failed) } else { Ok(()) }
    }

    pub(super) fn image(&self) -> Image {
        self.state().image.clone()
    }

    /// Puts another image in place. Nobody may be using the disk.
    pub(super) fn load(&self, image: Image) {
        debug_assert_eq!(image.bytes(), self.bytes, "a disk does not change its size");
        self.state().image = image;
    }

    pub(super) fn plan_faults(&self, plan: FaultPlan) {
        self.state().faults = Faults::new(plan);
    }

    pub(super) fn failed(&self) -> u64 {
        self.state().faults.failed()
    }

    pub(super) fn start_recording(&self) {
        let mut state = self.state();
        let start = now(&*self.clock());
        state.recording = Some(Recording {
            start,
            end: start,
            base: state.image.clone(),
            entries: Vec::new(),
        });
    }

    pub(super) fn stop_recording(&self) -> Option<Recording> {
        let mut state = self.state();
        let mut recording = state.recording.take()?;
        recording.end = now(&*self.clock());
        Some(recording)
    }
}
