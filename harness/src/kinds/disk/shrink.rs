//! The smallest version of a crash on a real disk: as few lost writes as break a promise, as early as
//! possible.
//!
//! What the writer did stays as it was recorded; what is shrunk is the power cut. First the earliest
//! stretch between two flushes in which a cut that loses everything unflushed breaks a promise; then
//! every write of it that can be kept without mending the failure is kept, torn ones whole. What is left
//! are the writes whose loss does it.

use std::io;

use super::crash::{DiskCrash, Opened};
use crate::disk::{Crashes, Kept, Outcome, Recording, Sampling, available};
use crate::kinds::contract::{Saved, Shrinking};
use crate::kinds::examine::verdict;
use crate::kinds::story::{Broken, Past};
use crate::shrink::{Deadline, minimise};
use crate::store::Store;

/// An outcome that breaks a promise, and when.
struct Failing {
    outcome: Outcome,
    index: u64,
    broken: Broken,
}

pub(super) fn shrink(saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
    let crash: DiskCrash = saved.finding.evidence()?;
    available(&crash.file_system, saved.scratch)
        .map_err(|why| io::Error::other(format!("the crash image has to be mounted, and {why}")))?;
    let mut opened = Opened::open(saved.finding, &crash, saved.scratch)?;
    let recording = opened.recording.clone();
    let mut store = saved.tested.resumed(saved.finding, saved.plan)?;
    let mut search = Search {
        store: &mut *store,
        crash: &crash,
        crashes: Crashes::new(&recording, &Sampling::prefixes()),
        recording: &recording,
        opened: &mut opened,
        tried: 0,
    };
    let original = search.explicit(&crash.outcome);
    let Some(mut found) = search.at(original, |index| index == crash.index)? else {
        return Ok(Shrinking::Gone("its crash image breaks no promise"));
    };
    // In the same stretch, losing everything may do it earlier.
    if let Some(earlier) = search.at(nothing_kept(found.outcome.epoch), |_| true)? {
        found = earlier;
    }
    let crashes = Crashes::new(&recording, &Sampling::prefixes());
    let candidates = |failing: &Failing| candidates(&crashes, &failing.outcome);
    let found = minimise(found, deadline, candidates, |outcome| {
        search.at(outcome, |_| true)
    })?;
    let tried = search.tried;
    let lost = lost(&crashes, &recording, &found);
    let smaller = DiskCrash {
        outcome: found.outcome,
        index: found.index,
        ..crash
    };
    let evidence = saved.scratch.join("shrunk");
    let finding = smaller.finding(
        &*store,
        (&Past::default(), found.broken),
        &recording,
        &mut opened.examiner,
        &evidence,
    )?;
    Ok(Shrinking::Smallest {
        told: format!("{lost} lost writes do it, after {tried} images"),
        more: finding.told().to_owned(),
        finding: Box::new(finding),
    })
}

/// Writes that are lost in the cut.
fn lost(crashes: &Crashes<'_>, recording: &Recording, found: &Failing) -> usize {
    let pending = pending(crashes, &found.outcome);
    let arrived = |at: &&usize| recording.entries[**at].answered <= found.index;
    let arrived = pending.iter().filter(arrived).count();
    arrived.saturating_sub(found.outcome.kept.len())
}

/// Outcomes that lose everything in an earlier stretch, the earliest first; then those that keep one
/// write more.
fn candidates(crashes: &Crashes<'_>, outcome: &Outcome) -> Vec<Outcome> {
    let epochs = crashes.epochs();
    let earlier = epochs.take_while(|epoch| *epoch < outcome.epoch);
    let mut candidates: Vec<Outcome> = earlier.map(nothing_kept).collect();
    for entry in pending(crashes, outcome) {
        let whole = Kept {
            entry,
            sectors: None,
        };
        let mut more = outcome.clone();
        match more.kept.binary_search_by_key(&entry, |kept| kept.entry) {
            Ok(place) if more.kept[place].sectors.is_none() => continue,
            Ok(place) => more.kept[place] = whole,
            Err(place) => more.kept.insert(place, whole),
        }
        candidates.push(more);
    }
    candidates
}

/// Everything in this stretch is lost.
fn nothing_kept(epoch: u64) -> Outcome {
    Outcome {
        epoch,
        before: 0,
        kept: Vec::new(),
    }
}

/// The writes that no flush had covered.
fn pending(crashes: &Crashes<'_>, outcome: &Outcome) -> Vec<usize> {
    let epoch = crashes.epoch_of(outcome);
    epoch.map_or_else(Vec::new, |epoch| epoch.1.to_vec())
}

/// Looks for broken promises on images of the recording.
struct Search<'s> {
    store: &'s mut dyn Store,
    crash: &'s DiskCrash,
    crashes: Crashes<'s>,
    recording: &'s Recording,
    opened: &'s mut Opened,
    /// Images mounted.
    tried: u64,
}

impl Search<'_> {
    /// The same outcome, with each write that it keeps named, in the order in which they were asked for.
    fn explicit(&self, outcome: &Outcome) -> Outcome {
        let entries = &self.recording.entries;
        let before = pending(&self.crashes, outcome).into_iter();
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

    /// Mounts an outcome, once, and asks the oracle about each moment at which it can come about, the
    /// earliest first.
    fn at(
        &mut self,
        outcome: Outcome,
        wanted: impl Fn(u64) -> bool,
    ) -> io::Result<Option<Failing>> {
        let (Some(image), Some((indices, _))) = (
            self.crashes.image(&outcome),
            self.crashes.epoch_of(&outcome),
        ) else {
            return Ok(None);
        };
        let kept = outcome.kept.iter();
        let arrived = kept.map(|kept| self.recording.entries[kept.entry].arrived + 1);
        let first = arrived.max().unwrap_or(0).max(*indices.start());
        let indices = first..=*indices.end();
        self.tried += 1;
        let Some(recovered) = self.opened.recover(self.store, &image)? else {
            return Ok(None);
        };
        for index in indices.filter(|index| wanted(*index)) {
            let events = self.crash.announced.at(index);
            if let Err(violation) = verdict(self.store, &events, &recovered) {
                let shown = recovered.ok();
                return Ok(Some(Failing {
                    outcome,
                    index,
                    broken: Broken { violation, shown },
                }));
            }
        }
        Ok(None)
    }
}
