//! `device`: a run on a real file system, on a recorded block device.
//!
//! The device raises a clock before it answers the kernel, and every announcement carries what the
//! clock said. So an acknowledgement that was announced at index *i* must survive every crash at or
//! after *i*, and no crash before the index of an attempt can show it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::contract::{Recorder, Recording};
use super::on_image::{OnImage, STORE, see_room};
use crate::disk::{self, Disk, Examiner, FaultPlan, FileSystem, Image, Site};
use crate::history::Event;
use crate::oracle::Violation;
use crate::reached::NextCall;
use crate::store::{Recovered, Store, Work, run};
use crate::tally::{Phase, Tally};

/// Events, each with what the device's clock said when it was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timed(pub(crate) Vec<(u64, Event)>);

impl Timed {
    /// What had been announced at an index of the clock.
    pub(crate) fn at(&self, index: u64) -> Vec<Event> {
        let by_then = self.0.iter().filter(|(clock, _)| *clock <= index);
        by_then.map(|(_, event)| *event).collect()
    }

    /// The same events, all of them announced before anything was asked of the device.
    pub(crate) fn before_all(events: Vec<Event>) -> Self {
        Self(events.into_iter().map(|event| (0, event)).collect())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.at(u64::MAX)
    }
}

/// Writers are recorded on one device, recoveries on the examiner's.
pub(crate) struct DeviceRecorder<'a> {
    pub(crate) site: &'a Site,
    pub(crate) file_system: &'a FileSystem,
    /// None if it has failed, or something on it has.
    pub(crate) device: &'a mut Option<Disk>,
    pub(crate) examiner: &'a mut Examiner,
}

/// A run on the device.
pub(crate) struct DeviceRun<'r> {
    pub(crate) store: &'r mut dyn Store,
    /// What is on the device.
    pub(crate) base: &'r Image,
    pub(crate) run: OnBase<'r>,
    pub(crate) tally: &'r mut Tally,
}

/// What the store does with what is on the device.
pub(crate) enum OnBase<'r> {
    /// It writes. Requests of the device may fail.
    Write {
        faults: Option<FaultPlan>,
        rng: &'r mut ChaCha8Rng,
    },
    /// It recovers.
    Recover {
        close: bool,
        /// What had been announced before.
        known: Vec<Event>,
    },
}

/// A recorded run. Its moments are the indices of the device's clock.
#[derive(Clone, Debug)]
pub(crate) struct OnDevice {
    pub(crate) recording: disk::Recording,
    pub(crate) announced: Timed,
    /// What the store did wrong by itself, on a device without a fault.
    pub(crate) failed: Option<Violation>,
    /// What a recovery showed. None if the kernel did not mount the device: nothing was recorded then.
    pub(crate) recovered: Option<Recovered>,
}

impl Recording for OnDevice {
    fn moments(&self) -> usize {
        usize::try_from(self.recording.end + 1).expect("in memory")
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        self.announced.at(moment as u64)
    }

    fn next_call(&self, moment: usize) -> Option<NextCall> {
        let entries = &self.recording.entries;
        let next = entries.partition_point(|entry| entry.answered <= moment as u64);
        let is_sync = entries.get(next)?.request.is_flush();
        Some(NextCall {
            name: if is_sync { "flush" } else { "write" },
            path: None,
            is_sync,
        })
    }
}

impl Recorder for DeviceRecorder<'_> {
    type Run<'r> = DeviceRun<'r>;
    type Recording = OnDevice;

    fn record(&mut self, run: DeviceRun<'_>) -> io::Result<OnDevice> {
        let DeviceRun {
            store,
            base,
            run,
            tally,
        } = run;
        let began = Instant::now();
        let recorded = match run {
            OnBase::Write { faults, rng } => self.write(store, base, faults, rng, tally)?,
            OnBase::Recover { close, known } => self.recover(store, base, close, known)?,
        };
        tally.spend(Phase::Record, began.elapsed());
        Ok(recorded)
    }
}

impl DeviceRecorder<'_> {
    fn write(
        &mut self,
        store: &mut dyn Store,
        base: &Image,
        faults: Option<FaultPlan>,
        rng: &mut ChaCha8Rng,
        tally: &mut Tally,
    ) -> io::Result<OnDevice> {
        let clock = store.clock()?;
        let now = Arc::clone(&clock);
        let device = match self.device.take() {
            Some(device) => {
                device.renew(base, clock)?;
                device
            }
            None => Disk::new(self.site, base.clone(), clock)?,
        };
        let is_faulty = faults.is_some();
        let (written, recording) = device.record(self.file_system, |mounted| {
            if let Some(faults) = faults {
                device.plan_faults(faults);
            }
            let dir = mounted.join(STORE);
            let assignment = store.writer(&dir, Work::OnDevice, rng)?;
            let (launcher, limit) = store.launching();
            let now = || now.counter().load(Ordering::SeqCst);
            let watched = run(&assignment, launcher, limit, now)?;
            let mut written = store.written(&watched)?;
            // A planned fault may show as a full disk. What fails then is no violation anyway.
            if let (Some(failed), 0) = (&written.failed, device.faults()) {
                see_room(self.file_system, mounted, failed)?;
                device.check()?;
            }
            written.failed = written.failed.map(|failed| failed.without_dir(&dir));
            io::Result::Ok(written)
        })?;
        let written = written?;
        tally.faults += device.faults();
        let failed = written.failed.filter(|_| device.faults() == 0);
        // The kernel may remember what failed.
        *self.device = Some(device).filter(|_| !is_faulty && failed.is_none());
        let announced = Timed(written.announced.timed());
        Ok(OnDevice {
            recording,
            announced,
            failed,
            recovered: None,
        })
    }

    fn recover(
        &mut self,
        store: &mut dyn Store,
        base: &Image,
        close: bool,
        known: Vec<Event>,
    ) -> io::Result<OnDevice> {
        let on_image = OnImage {
            image: base,
            close,
            record: true,
        };
        let looked = on_image.recover(self.examiner, store)?;
        let (recovered, recording) = looked.unzip();
        let recording = recording.flatten().unwrap_or_else(|| disk::Recording {
            start: 0,
            end: 0,
            base: base.clone(),
            entries: Vec::new(),
        });
        // Nothing is announced during a recovery: what was known before is known still.
        Ok(OnDevice {
            recording,
            announced: Timed::before_all(known),
            failed: None,
            recovered,
        })
    }
}
