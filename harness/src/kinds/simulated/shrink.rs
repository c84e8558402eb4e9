//! The smallest version of a failure on the simulated file system: fewest lives, least work, fewest
//! losses.
//!
//! A smaller timeline has other operations, so what broke the larger one has to be looked for again:
//! exactly there first, then at every moment of its last life. When nothing smaller fails, losses are
//! taken back one by one, as long as it still fails.

use std::io;

use super::explore::{Effort, Explorer};
use super::search::{Failure, Halt};
use super::story;
use super::timeline::{End, Life, Timeline};
use super::world::{Bench, World};
use crate::kinds::sought::Sought;
use crate::shrink::{Deadline, Test, fewer_losses, minimise, smaller_numbers, smaller_workloads};
use crate::tally::Tally;
use crate::workload::stream;

/// What shrinking came to.
pub(super) struct Smallest {
    pub(super) failure: Failure,
    /// Timelines tried.
    tried: u64,
}

impl Smallest {
    /// How small it is, and a test that plays it.
    pub(super) fn told(&self, bench: &Bench<'_>) -> io::Result<(String, Test)> {
        let timeline = &self.failure.timeline;
        // On the disk, all lives together, up to where each ended.
        let operations = story::after(bench, timeline, &timeline.steps)?.disk.clock;
        let told = format!(
            "{operations} operations in {} lives, after {} scripts",
            timeline.steps.len(),
            self.tried
        );
        let test = Test {
            script: serde_json::to_string(timeline).expect("plain data"),
            promise: "this_timeline",
        };
        Ok((told, test))
    }
}

/// Shrinks a timeline that ends in a failure of this class, and keeps to the class, and to the kind of
/// crash: the smallest version of another failure would say nothing of this one. `None` if it does not
/// fail so any more.
pub(super) fn shrink(
    bench: &Bench<'_>,
    timeline: &Timeline,
    class: &str,
    deadline: Deadline<'_>,
) -> io::Result<Option<Smallest>> {
    let sought = &Sought::Class(class.to_owned());
    let Some(failure) = search(bench, timeline, sought)? else {
        return Ok(None);
    };
    let mut tried = 1;
    let kind = timeline.kind();
    let smaller = |failure: &Failure| {
        let mut candidates = candidates(&failure.timeline);
        candidates.retain(|candidate| candidate.kind() == kind);
        candidates
    };
    let failure = minimise(failure, deadline, smaller, |candidate| {
        tried += 1;
        search(bench, &candidate, sought)
    })?;
    let with_less_lost = |failure: &Failure| with_less_lost(&failure.timeline);
    let failure = minimise(failure, deadline, with_less_lost, |candidate| {
        tried += 1;
        exactly(bench, &candidate, sought)
    })?;
    Ok(Some(Smallest { failure, tried }))
}

/// Looks for a broken promise in a timeline: where it says, on the way there, or anywhere in its last
/// life.
pub(super) fn search(
    bench: &Bench<'_>,
    timeline: &Timeline,
    sought: &Sought,
) -> io::Result<Option<Failure>> {
    if let Some(failure) = exactly(bench, timeline, sought)? {
        return Ok(Some(failure));
    }
    let Some((last, before)) = timeline.steps.split_last() else {
        return Ok(None);
    };
    if !timeline.damage.is_empty() {
        return Ok(None);
    }
    let world = story::after(bench, timeline, before)?;
    let mut tally = Tally::default();
    let mut explorer = Explorer::new(stream(timeline.seed, 0), sought.clone(), &mut tally);
    let lived = explorer.life(&world, &last.life, &last.faults, Effort::SEARCH);
    let failure = lived.err().map(Halt::failure).transpose()?;
    let failure = failure.map(|failure| *failure);
    Ok(failure.filter(|failure| sought.ends_with(&failure.violation)))
}

/// Plays a timeline as it is.
fn exactly(bench: &Bench<'_>, timeline: &Timeline, sought: &Sought) -> io::Result<Option<Failure>> {
    let violation = match story::play(bench, timeline)? {
        Err(violation) if sought.ends_with(&violation) => violation,
        _ => return Ok(None),
    };
    let World { events, disk, .. } = story::after(bench, timeline, &timeline.steps)?;
    Ok(Some(Failure {
        timeline: timeline.clone(),
        violation,
        events,
        disk,
    }))
}

/// Smaller timelines, the largest steps first.
fn candidates(timeline: &Timeline) -> Vec<Timeline> {
    let mut candidates = Vec::new();
    let mut propose = |change: &dyn Fn(&mut Timeline)| {
        let mut candidate = timeline.clone();
        change(&mut candidate);
        renumber(&mut candidate);
        if candidate != *timeline && !candidate.steps.is_empty() {
            candidates.push(candidate);
        }
    };
    let steps = timeline.steps.len();
    for dropped in 0..steps {
        propose(&|timeline| {
            timeline.steps.remove(dropped);
        });
    }
    for damage in 0..timeline.damage.len() {
        propose(&|timeline| {
            timeline.damage.remove(damage);
        });
    }
    propose(&|timeline| timeline.recovery_faults.clear());
    for (index, step) in timeline.steps.iter().enumerate() {
        for (number, fault) in step.faults.iter().enumerate() {
            propose(&|timeline| {
                timeline.steps[index].faults.remove(number);
            });
            for sooner in [0].into_iter().chain(smaller_numbers(fault.after.into())) {
                let sooner = u32::try_from(sooner).expect("smaller than a u32");
                propose(&|timeline| timeline.steps[index].faults[number].after = sooner);
            }
        }
        match &step.life {
            Life::Write(workload) => {
                for smaller in smaller_workloads(workload) {
                    propose(&|timeline| {
                        timeline.steps[index].life = Life::Write(smaller.clone());
                    });
                }
            }
            Life::Recover { close: true } => {
                propose(&|timeline| timeline.steps[index].life = Life::Recover { close: false });
            }
            Life::Recover { close: false } => {}
        }
        // Of the last life, every moment is looked at anyway.
        if index + 1 < steps {
            let until = step.until.unwrap_or(0) as u64;
            for earlier in smaller_numbers(until) {
                let earlier = usize::try_from(earlier).expect("smaller than a usize");
                propose(&|timeline| timeline.steps[index].until = Some(earlier));
            }
            propose(&|timeline| timeline.steps[index].end = End::PowerLoss(Vec::new()));
        }
    }
    candidates
}

/// Generations are part of every id, and are numbered from 0.
fn renumber(timeline: &mut Timeline) {
    let workloads = timeline
        .steps
        .iter_mut()
        .filter_map(|step| match &mut step.life {
            Life::Write(workload) => Some(workload),
            Life::Recover { .. } => None,
        });
    for (number, workload) in (0..).zip(workloads) {
        workload.generation = number;
    }
}

/// The same timelines with less lost in a power cut.
fn with_less_lost(timeline: &Timeline) -> Vec<Timeline> {
    let mut candidates = Vec::new();
    for (index, step) in timeline.steps.iter().enumerate() {
        let End::PowerLoss(answers) = &step.end else {
            continue;
        };
        candidates.extend(fewer_losses(answers).into_iter().map(|fewer| {
            let mut candidate = timeline.clone();
            candidate.steps[index].end = End::PowerLoss(fewer);
            candidate
        }));
    }
    candidates
}
