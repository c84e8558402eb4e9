//! A writer process of the subject, from its start to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groupwal::{EngineKind, Storage, Wal};
use plugpull::sim::{FileSystem, SimFs};
use plugpull::{Action, ActionKind, Recorder, SubjectError, Workload};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, yield_now};

use super::home::{HOMES, home};
use super::sizes::{REAL, Sizes, TINY, options, simulated};
use crate::act::act;
use crate::acted::Acted;
use crate::ballast::Ballast;
use crate::batch::{append_batch, with_following};
use crate::quota::Quota;
use crate::simulated::{draw, replay};

/// Streams of numbers that derive from a workload's seed.
pub(super) const PHASES: u64 = 0x7068;
const ACTIONS: u64 = 0x6163;

/// What fills the disk.
#[derive(Debug)]
pub(super) enum Fill {
    /// A limit of the storage. `contested`: another program takes what becomes free.
    Quota { contested: bool },
    /// A file on a small real disk.
    Ballast { ballast: Ballast, contested: bool },
    /// Nothing: the log has its descriptors.
    Nothing,
}

/// A writer process from its start to its end.
pub(super) struct Process {
    /// For the names around the log.
    pub(super) fs: Arc<dyn FileSystem>,
    /// The same, where it is simulated.
    pub(super) sim: Option<SimFs>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) fill: Fill,
    pub(super) dir: PathBuf,
    pub(super) engine: EngineKind,
    pub(super) workload: Workload,
    pub(super) recorder: Recorder,
    /// One trim at a time: the next one begins when the last one has removed its files.
    pub(super) trimming: Mutex<()>,
}

/// The log as it is from one opening to the next.
#[derive(Clone)]
pub(super) struct Phase {
    pub(super) wal: Wal,
    pub(super) spares_max: usize,
    /// Every segment has the length that the next one is to have, so its file can become that one.
    pub(super) is_uniform: bool,
}

pub(super) type Actions = Box<dyn Iterator<Item = Action> + Send>;

impl Process {
    pub(super) fn sizes(&self) -> &'static Sizes {
        if self.sim.is_some() { &TINY } else { &REAL }
    }

    /// Whether the disk fails by itself: then the log owes less.
    pub(super) fn is_failing(&self) -> bool {
        self.sim.as_ref().is_some_and(|fs| fs.faults_injected() > 0)
    }

    /// Whether a full disk may do this to a log.
    pub(super) fn is_excused(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        let Fill::Ballast { ballast, .. } = &self.fill else {
            return false;
        };
        let error = error.downcast_ref::<groupwal::Error>();
        ballast.is_copy_on_write() && error.is_some_and(groupwal::Error::is_disk_full)
    }

    pub(super) async fn run(self: Arc<Self>) -> Result<(), SubjectError> {
        let all = 0..self.workload.writers;
        let mut writers: Vec<(u32, Actions)> = all
            .map(|writer| (writer, Box::new(self.workload.actions(writer)) as Actions))
            .collect();
        for number in 1.. {
            let phase = self.open(number).await?;
            let mut tasks = JoinSet::new();
            for (writer, actions) in writers.drain(..) {
                tasks.spawn(Arc::clone(&self).carry_out(phase.clone(), writer, actions));
            }
            while let Some(ended) = tasks.join_next().await {
                match ended {
                    Ok(left) => writers.extend(left?),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
            if writers.is_empty() {
                break;
            }
            writers.sort_unstable_by_key(|(writer, _)| *writer);
            let mut closed = phase.wal.close().await;
            if closed.as_ref().is_err_and(groupwal::Error::is_disk_full) {
                // An append that was dropped may have been refused in the same group. The seal alone has
                // room.
                closed = phase.wal.close().await;
            }
            match closed {
                // A log that is poisoned is opened again to go on.
                Err(error) if error.is_poisoned() && self.is_failing() => {}
                // What a trim freed may be gone: it had another length, or the ballast has taken it.
                Err(error) if error.is_disk_full() && !self.may_seal(&phase) => {}
                closed => {
                    closed?;
                    self.recorder.closed();
                }
            }
        }
        Ok(())
    }

    /// Whether the full disk has room for a seal whatever came before.
    fn may_seal(&self, phase: &Phase) -> bool {
        let is_spent = matches!(self.fill, Fill::Ballast { .. }) && phase.wal.segment_count() == 1;
        phase.is_uniform && !is_spent
    }

    async fn open(&self, number: u64) -> Result<Phase, SubjectError> {
        let luck = draw(self.workload.seed, PHASES + number);
        let home = home(&*self.fs, &self.dir)?;
        let segments = self.sizes().segments;
        // On a real disk a longer segment does not fit where a shorter one was.
        let segment_bytes = match self.fill {
            Fill::Ballast { .. } => segments[0],
            _ => segments[usize::from(luck & 16 != 0)],
        };
        let spares_max = if luck & 32 == 0 { 0 } else { 2 };
        let mut options = options(self.sizes(), luck)
            .engine(self.engine)
            .segment_bytes(segment_bytes)
            .spare_segments_max(spares_max);
        if self.sim.is_some() && self.engine == EngineKind::Blocking {
            options = simulated(options);
        }
        let storage: Arc<dyn Storage> = match self.fill {
            Fill::Quota { contested } => {
                let storage = Arc::clone(&self.storage);
                Arc::new(Quota::new(storage, self.sizes().disk, contested))
            }
            Fill::Ballast { .. } | Fill::Nothing => Arc::clone(&self.storage),
        };
        let is_uniform = self.is_uniform(&home, segment_bytes)?;
        let wal = Wal::open_with(storage, home, options).await?;
        if number == 1
            && let Fill::Ballast { ballast, .. } = &self.fill
        {
            ballast.fill()?;
        }
        Ok(Phase {
            wal,
            spares_max,
            is_uniform,
        })
    }

    /// Whether all segments that are there have this length.
    fn is_uniform(&self, home: &Path, segment_bytes: u64) -> Result<bool, SubjectError> {
        let names = match self.fs.read_dir(home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            read => read?,
        };
        for name in names.iter().filter(|name| *name != "LOCK") {
            let mut reading = plugpull::sim::OpenOptions::new();
            let file = self.fs.open(&home.join(name), reading.read(true))?;
            if file.length()? != segment_bytes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One writer until the log is to be opened again. Returns its other actions, if there are any.
    async fn carry_out(
        self: Arc<Self>,
        phase: Phase,
        writer: u32,
        mut actions: Actions,
    ) -> Result<Option<(u32, Actions)>, SubjectError> {
        let (workload, wal) = (&self.workload, &phase.wal);
        // Up to here everything was durable when the full disk was trimmed: an append has room.
        let mut owed = None;
        for _ in 0..3 + draw(workload.seed, ACTIONS) % 12 {
            let Some(action) = actions.next() else {
                return Ok(None);
            };
            if let Some(pause) = action.pause {
                tokio::time::sleep(pause).await;
            }
            let luck = draw(workload.seed ^ ACTIONS, action.id);
            for _ in 0..luck % 4 {
                yield_now().await;
            }
            if writer == 0 && (luck >> 2).is_multiple_of(5) {
                self.rename()?;
            }
            let is_batch = action.kind == ActionKind::Append && (luck >> 8).is_multiple_of(4);
            let acted = if is_batch {
                let ids = with_following(&action, &mut actions);
                append_batch(wal, workload, &ids, &self.recorder).await?
            } else {
                act(wal, workload, &action, &self.recorder).await?
            };
            match acted {
                Acted::At(seq) => {
                    if let Some(every) = workload.trim_every.filter(|_| writer == 0) {
                        self.trim_at_times(wal, seq + 1, every.into()).await?;
                    }
                    if workload.replays && (luck >> 12).is_multiple_of(3) {
                        replay(wal, &self.recorder, luck >> 16).await?;
                    }
                    owed = None;
                }
                Acted::Full if owed == Some(wal.durable_seq()) => {
                    return Err(
                        "the disk is still full for an append after a trim that freed a \
                                segment of the log"
                            .into(),
                    );
                }
                Acted::Full => owed = self.relieve(&phase, luck >> 16).await?,
                Acted::Nothing => {}
            }
        }
        Ok(Some((writer, actions)))
    }

    /// Renames the log's directory, durably, while the log is in use.
    fn rename(&self) -> Result<(), SubjectError> {
        let from = home(&*self.fs, &self.dir)?;
        let name = HOMES.iter().find(|name| !from.ends_with(name));
        let to = self.dir.join(name.expect("there are two"));
        let renamed = self.fs.rename(&from, &to);
        match renamed.and_then(|()| self.fs.sync_dir(&self.dir)) {
            Err(_) if self.is_failing() => Ok(()),
            // A directory may need a block for the new name.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            renamed => Ok(renamed?),
        }
    }
}
