//! Where runs are traced, and their crash states recovered.

use std::io;
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::history::Event;
use crate::ignored::Ignored;
use crate::image::Image;
use crate::injection::Injection;
use crate::kinds::examine::recover_again;
use crate::recorder::{
    Followed, MountRecorder, MountRun, Recorder, RecorderKind, Run, TraceRecorder, TraceRun, follow,
};
use crate::scratch::remove_dir;
use crate::sim::Disk;
use crate::store::{Recovered, Store};
use crate::survivor::Survivor;
use crate::tally::Tally;

/// A store and its directory. Crash states are laid out where the runs were: a store may keep the path.
pub(crate) struct Bench<'a> {
    pub(crate) store: Box<dyn Store + 'a>,
    pub(crate) dir: PathBuf,
    pub(crate) recorder: RecorderKind,
    pub(crate) ignored: Vec<Ignored>,
    pub(crate) rng: ChaCha8Rng,
}

impl Bench<'_> {
    /// Records a run that begins on a disk.
    pub(crate) fn record(
        &mut self,
        run: Run<'_>,
        disk: Disk,
        known: Vec<Event>,
        injection: Option<Injection>,
        tally: &mut Tally,
    ) -> io::Result<Followed> {
        if self.recorder == RecorderKind::Mount {
            let mut recorder = MountRecorder { dir: &self.dir };
            let mut followed = recorder.record(MountRun {
                store: &mut *self.store,
                disk,
                run,
                known,
                injection,
                rng: &mut self.rng,
                tally,
            })?;
            let failed = followed.failed.take();
            followed.failed = failed.map(|violation| violation.without_dir(&self.dir));
            return Ok(followed);
        }
        self.lay_out(&disk)?;
        let base = Image::read(&self.dir, &Image::default())?;
        let mut recorder = TraceRecorder {
            dir: &self.dir,
            ignored: &self.ignored,
        };
        let mut traced = recorder.record(TraceRun {
            store: &mut *self.store,
            base: &base,
            run,
            calls_max: None,
            injection,
            rng: &mut self.rng,
            tally,
        })?;
        let failed = traced.failed.take();
        traced.failed = failed.map(|violation| violation.without_dir(&self.dir));
        follow(traced, disk, known)
    }

    pub(crate) fn lay_out(&self, disk: &Disk) -> io::Result<()> {
        remove_dir(&self.dir)?;
        disk.lay_out(&self.dir)
    }

    /// Recovers what is in the directory, now and then twice, and asks the oracle.
    pub(crate) fn recovered(
        &mut self,
        events: &[Event],
        tally: &mut Tally,
    ) -> io::Result<Recovered> {
        let close = self.rng.random_bool(0.1);
        let survivors = match self.store.recover(&self.dir, close)? {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(Err(violation.without_dir(&self.dir))),
        };
        tally.recovered += Survivor::entries(&survivors).0.len() as u64;
        if let Err(violation) = self.store.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.05) {
            tally.second_recoveries += 1;
            if let Err(violation) = recover_again(&mut *self.store, &self.dir, &survivors)? {
                return Ok(Err(violation.without_dir(&self.dir)));
            }
        }
        Ok(Ok(survivors))
    }
}
