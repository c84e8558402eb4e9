//! Trims: of a log that has room, and of one on a full disk, with what is owed there.

use groupwal::Wal;
use plugpull::SubjectError;

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
    ///
    /// `len` is the length of the payload that was refused, if it was one.
    pub(super) async fn relieve(
        &self,
        phase: &Phase,
        luck: u64,
        len: Option<usize>,
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
        // A trim that had room in its segment leaves what it frees to the disk, unless spares are wanted.
        // It had none if the entry that was refused would have taken a single block, too.
        let block = self.sizes().block as usize;
        let had_no_room = self.workload.writers == 1 && len.is_some_and(|len| len + 128 <= block);
        let is_kept = phase.spares_max > 0 || had_no_room;
        let is_free = !self.workload.replays && (is_kept || !contested);
        Ok((must_free && is_free && !self.is_failing()).then_some(durable))
    }
}
