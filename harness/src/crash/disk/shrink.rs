//! The smallest version of a crash on a real disk: as few lost writes as break a promise, as early as
//! possible.
//!
//! What the writer did stays as it was recorded; what is shrunk is the power cut. First the earliest
//! stretch between two flushes in which a cut that loses everything unflushed breaks a promise; then
//! every write of it that can be kept without mending the failure is kept, torn ones whole. What is left
//! are the writes whose loss does it.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::saved::Opened;
use super::{DiskCrash, Store, recover, verdict};
use crate::disk::{Crashes, Kept, Outcome, Recording, Sampling, available};
use crate::finding::Finding;
use crate::oracle::Violation;
use crate::scratch::remove_dir;

/// What shrinking came to.
pub(crate) struct Shrunk {
    pub(crate) finding: Finding,
    /// Images mounted.
    pub(crate) candidates: u64,
    /// Writes that are lost in the cut.
    pub(crate) lost: usize,
}

/// Shrinks a crash until the deadline. `None` if it does not break a promise any more.
///
/// # Errors
/// If this machine cannot mount it.
pub(crate) fn shrink(
    store: &mut dyn Store,
    crash: &DiskCrash,
    scratch: &Path,
    deadline: Instant,
) -> io::Result<Option<Shrunk>> {
    available(&crash.file_system, scratch)
        .map_err(|why| io::Error::other(format!("the crash image has to be mounted, and {why}")))?;
    let mut opened = Opened::open(crash, scratch)?;
    let recording = opened.recording.clone();
    let crashes = Crashes::new(&recording, &Sampling::prefixes());
    let mut shrinker = Shrinker {
        store,
        crash,
        crashes: &crashes,
        opened: &mut opened,
        deadline,
        candidates: 0,
    };
    let Some(found) = shrinker.smallest()? else {
        return Ok(None);
    };
    let candidates = shrinker.candidates;
    let pending = crashes.epoch_of(&found.outcome).map_or(0, |epoch| {
        let arrived = |at: &&usize| recording.entries[**at].answered <= found.index;
        epoch.1.iter().filter(arrived).count()
    });
    let lost = pending.saturating_sub(found.outcome.kept.len());
    let smaller = DiskCrash {
        outcome: found.outcome,
        index: found.index,
        recording: crash.recording.clone(),
        ..crash.clone()
    };
    let image = smaller.image(&recording)?;
    let evidence = scratch.join("shrunk");
    remove_dir(&evidence)?;
    std::fs::create_dir_all(&evidence)?;
    let told = store.finding(found.violation, Vec::new());
    let finding = smaller.found(&mut opened.examiner, &recording, &image, told, &evidence)?;
    Ok(Some(Shrunk {
        finding,
        candidates,
        lost,
    }))
}

/// An outcome that breaks a promise, and when.
struct Failing {
    outcome: Outcome,
    index: u64,
    violation: Violation,
}

struct Shrinker<'s> {
    store: &'s mut dyn Store,
    crash: &'s DiskCrash,
    crashes: &'s Crashes<'s>,
    opened: &'s mut Opened,
    deadline: Instant,
    candidates: u64,
}

impl Shrinker<'_> {
    fn smallest(&mut self) -> io::Result<Option<Failing>> {
        let original = self.explicit(&self.crash.outcome);
        let Some(mut smallest) = self.try_at(original, |index| index == self.crash.index)? else {
            return Ok(None);
        };
        // The earliest stretch in which losing everything does it.
        for epoch in self
            .crashes
            .epochs()
            .take_while(|at| *at <= smallest.outcome.epoch)
        {
            let all_lost = Outcome {
                epoch,
                before: 0,
                kept: Vec::new(),
            };
            if let Some(found) = self.try_anywhere(all_lost)? {
                smallest = found;
                break;
            }
        }
        // Keep whatever can be kept.
        let pending = self.pending(&smallest.outcome);
        for at in pending {
            let whole = Kept {
                entry: at,
                sectors: None,
            };
            let mut outcome = smallest.outcome.clone();
            match outcome.kept.binary_search_by_key(&at, |kept| kept.entry) {
                Ok(place) if outcome.kept[place].sectors.is_none() => continue,
                Ok(place) => outcome.kept[place] = whole,
                Err(place) => outcome.kept.insert(place, whole),
            }
            if let Some(found) = self.try_anywhere(outcome)? {
                smallest = found;
            }
        }
        Ok(Some(smallest))
    }

    fn recording(&self) -> &Recording {
        &self.opened.recording
    }

    fn pending(&self, outcome: &Outcome) -> Vec<usize> {
        let epoch = self.crashes.epoch_of(outcome);
        epoch.map_or_else(Vec::new, |epoch| epoch.1.to_vec())
    }

    /// The same outcome, with each write that it keeps named, in the order in which they were asked for.
    fn explicit(&self, outcome: &Outcome) -> Outcome {
        let entries = &self.recording().entries;
        let before = self.pending(outcome).into_iter();
        let before = before.filter(|at| *at < outcome.before && !entries[*at].failed);
        let whole = |entry| Kept {
            entry,
            sectors: None,
        };
        let kept: Vec<Kept> = before
            .map(whole)
            .chain(outcome.kept.iter().cloned())
            .collect();
        Outcome {
            epoch: outcome.epoch,
            before: 0,
            kept,
        }
    }

    fn try_anywhere(&mut self, outcome: Outcome) -> io::Result<Option<Failing>> {
        self.try_at(outcome, |_| true)
    }

    /// Mounts an outcome, once, and asks the oracle about each moment at which it can come about, the
    /// earliest first.
    fn try_at(
        &mut self,
        outcome: Outcome,
        wanted: impl Fn(u64) -> bool,
    ) -> io::Result<Option<Failing>> {
        if Instant::now() > self.deadline && self.candidates > 0 {
            return Ok(None);
        }
        let (Some(image), Some((indices, _))) = (
            self.crashes.image(&outcome),
            self.crashes.epoch_of(&outcome),
        ) else {
            return Ok(None);
        };
        let entries = &self.recording().entries;
        let arrived = outcome
            .kept
            .iter()
            .map(|kept| entries[kept.entry].arrived + 1);
        let first = arrived.max().unwrap_or(0).max(*indices.start());
        let indices = first..=*indices.end();
        self.candidates += 1;
        let recovered = recover(self.store, &mut self.opened.examiner, &image, false)?;
        let Some(recovered) = recovered else {
            return Ok(None);
        };
        for index in indices.filter(|index| wanted(*index)) {
            let events = self.crash.announced.at(index);
            if let Err(violation) = verdict(self.store, &recovered, &events) {
                return Ok(Some(Failing {
                    outcome,
                    index,
                    violation,
                }));
            }
        }
        Ok(None)
    }
}
