//! The smallest version of a failure on the simulated file system: fewest lives, least work, fewest
//! losses.
//!
//! A smaller timeline has other operations, so what broke the larger one has to be looked for again:
//! exactly there first, then at every moment of its last life. When nothing smaller fails, losses are
//! taken back one by one, as long as it still fails.

use std::io;
use std::time::Instant;

use super::explore::{Effort, Explorer, Failure};
use super::story;
use super::timeline::{End, Life, Timeline};
use super::world::{Bench, World};
use crate::crash::Sought;
use crate::shrink::{smaller_numbers, smaller_workloads};
use crate::tally::Tally;
use crate::workload::stream;

/// What shrinking came to.
pub(crate) struct Smallest {
    pub(crate) failure: Failure,
    /// Timelines tried.
    pub(crate) candidates: u64,
}

/// Shrinks a timeline that comes to a failure of this class, and keeps to the class, and to the kind of
/// crash: the smallest version of another failure would say nothing of this one. `None` if it does not
/// fail so any more.
pub(crate) fn shrink(
    bench: &Bench<'_>,
    timeline: &Timeline,
    class: &str,
    deadline: Instant,
) -> io::Result<Option<Smallest>> {
    let sought = &Sought::Class(class.to_owned());
    let Some(mut failure) = search(bench, timeline, sought)? else {
        return Ok(None);
    };
    let mut tried = 1;
    'again: loop {
        let candidates = candidates(&failure.timeline);
        for candidate in candidates
            .into_iter()
            .filter(|c| c.kind() == timeline.kind())
        {
            if Instant::now() > deadline {
                break 'again;
            }
            tried += 1;
            if let Some(smaller) = search(bench, &candidate, sought)? {
                failure = smaller;
                continue 'again;
            }
        }
        break;
    }
    keep_losses(bench, &mut failure, sought, &mut tried, deadline)?;
    Ok(Some(Smallest {
        failure,
        candidates: tried,
    }))
}

/// Looks for a broken promise in a timeline: where it says, on the way there, or anywhere in its last
/// life.
pub(crate) fn search(
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
    let lived = explorer.life(&world, &last.life, &last.faults, Effort::SEARCH)?;
    let failure = lived.err().map(|failure| *failure);
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

/// Takes back what is lost without need: halves first, then one by one.
fn keep_losses(
    bench: &Bench<'_>,
    failure: &mut Failure,
    sought: &Sought,
    tried: &mut u64,
    deadline: Instant,
) -> io::Result<()> {
    for index in 0..failure.timeline.steps.len() {
        let End::PowerLoss(answers) = &failure.timeline.steps[index].end else {
            continue;
        };
        let mut size = answers.len();
        while size > 0 {
            let mut start = 0;
            while let End::PowerLoss(answers) = &failure.timeline.steps[index].end {
                if start >= answers.len() || Instant::now() > deadline {
                    break;
                }
                let mut fewer = answers.clone();
                let end = (start + size).min(fewer.len());
                fewer[start..end].fill(0);
                start = end;
                if fewer == *answers {
                    continue;
                }
                while fewer.last() == Some(&0) {
                    fewer.pop();
                }
                let mut candidate = failure.timeline.clone();
                candidate.steps[index].end = End::PowerLoss(fewer);
                *tried += 1;
                if let Some(smaller) = exactly(bench, &candidate, sought)? {
                    *failure = smaller;
                }
            }
            size /= 2;
        }
    }
    Ok(())
}

/// Operations on the disk, all lives together, up to where each ended.
pub(crate) fn operations(bench: &Bench<'_>, timeline: &Timeline) -> io::Result<u64> {
    Ok(story::after(bench, timeline, &timeline.steps)?.disk.clock)
}
