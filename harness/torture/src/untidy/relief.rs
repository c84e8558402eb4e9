//! Trims: of a log that has room, and of one on a full disk, with what is owed there.

use std::path::Path;

use groupwal::Wal;
use plugpull::SubjectError;

use super::home::home;
use super::process::{Fill, Phase, Process};
use crate::simulated::trim;

impl Process {
    /// The trims of a log that has room.
    pub(super) async fn trim_at_times(
        &self,
        wal: &Wal,
        acked: u64,
        every: u64,
    ) -> Result<(), SubjectError> {
        let is_full_soon = match self.fill {
            Fill::Nothing => false,
            Fill::Quota { .. } => wal.segment_count() > 2,
            Fill::Ballast { .. } => true,
        };
        if is_full_soon {
            // It would use up the segment's reserve and leave segments that the next trim is to free.
            return Ok(());
        }
        let _only = self.trimming.lock().await;
        Ok(trim(wal, acked, every, &self.recorder).await?)
    }

    /// Trims the log on the full disk. If then an append must succeed, returns the position up to which
    /// everything was durable: what is appended behind it takes the space that became free.
    pub(super) async fn relieve(
        &self,
        phase: &Phase,
        luck: u64,
    ) -> Result<Option<u64>, SubjectError> {
        let wal = &phase.wal;
        let _only = self.trimming.lock().await;
        let (segments, trimmed, durable) = (wal.segment_count(), wal.trim_seq(), wal.durable_seq());
        // One that leaves two segments would have used up the reserve for the next one.
        let is_whole =
            segments != 2 || matches!(self.fill, Fill::Ballast { .. }) || !luck.is_multiple_of(4);
        let below = if is_whole {
            durable
        } else {
            trimmed.midpoint(durable)
        };
        // The newest segment is full, so it has entries: the ones before it lie below the position.
        let must_free = is_whole && segments > 1 && phase.is_uniform;
        if segments == 1
            && let Fill::Ballast { ballast, .. } = &self.fill
        {
            // Nothing can be freed: the space has to come from elsewhere.
            ballast.remove()?;
        }
        self.recorder.trim_begin(below);
        match wal.trim(below).await {
            Ok(()) => self.recorder.trim_end(below),
            Err(error) if error.is_poisoned() || error.is_outcome_unknown() => return Ok(None),
            Err(error) if error.is_not_written() => {
                if wal.trim_seq() > trimmed {
                    return Err(format!("a trim that failed hides entries: {error}").into());
                }
                if must_free && error.is_disk_full() && !self.is_failing() {
                    let broken = format!(
                        "on a full disk a trim that frees {} segments was refused: {error}",
                        segments - 1
                    );
                    return Err(broken.into());
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        let contested = match &self.fill {
            Fill::Quota { contested } => *contested,
            Fill::Ballast { ballast, contested } => {
                if segments > 1 && *contested {
                    ballast.fill()?;
                }
                *contested
            }
            Fill::Nothing => false,
        };
        // Where no spares are wanted, one trim keeps what it frees after an append that found the disk full:
        // another writer's, if there are any.
        let is_kept = match self.fill {
            // A full file system may have no room for the new name of what was to be kept.
            Fill::Ballast { .. } => self.has_spare()?,
            _ => phase.spares_max > 0 || self.workload.writers == 1,
        };
        let is_gone = contested || matches!(self.fill, Fill::Ballast { .. });
        let is_free = !self.workload.replays && (is_kept || !is_gone);
        Ok((must_free && is_free && !self.is_failing()).then_some(durable))
    }

    fn has_spare(&self) -> Result<bool, SubjectError> {
        let names = self.fs.read_dir(&home(&*self.fs, &self.dir)?)?;
        let mut kinds = names.iter().filter_map(|name| Path::new(name).extension());
        Ok(kinds.any(|kind| kind == "spare"))
    }
}
