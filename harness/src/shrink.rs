//! The smallest version of a failure.
//!
//! A failure on the simulated file system is a timeline, shrunk in `crash/simulated`. A failure of `syscall` is a script: which workloads, and after how many calls each was killed. A
//! smaller script that still fails says more. Shrinking tries ever smaller ones, the largest steps
//! first, and keeps each that fails in the same way ([`Violation::class`]): the smallest version of another
//! failure would say nothing of this one. It ends when no step helps or the time is over.
//!
//! [`Violation::class`]: crate::oracle::Violation::class
//!
//! Threads make runs differ. A candidate with several writers is therefore played a few times before
//! it counts as one that does not fail, and one of the first steps is to a single writer.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::crash::simulated;
use crate::crash::syscall::Lane;
use crate::finding::{Finding, Generation, KillPoint};
use crate::history::Event;
use crate::plan::Plan;
use crate::subject::Subject;
use crate::tally::Tally;
use crate::workload::{Style, Workload, stream};

/// How often a script with several writers is played.
const TRIES: u32 = 4;

/// What shrinking came to.
#[derive(Debug)]
pub(crate) struct Shrunk {
    pub(crate) finding: Finding,
    /// Scripts played.
    pub(crate) candidates: u64,
    /// Operations that its writers begin; on the simulated file system, operations on the disk.
    pub(crate) operations: u64,
    /// Processes that it takes.
    pub(crate) lives: usize,
}

/// Shrinks a finding for so long at most. `None` if its script does not fail any more.
pub(crate) fn shrink(
    subject: &dyn Subject,
    finding: &Finding,
    plan: &Plan,
    scratch: &Path,
    limit: Duration,
) -> io::Result<Option<Shrunk>> {
    let deadline = Instant::now() + limit;
    if finding.timeline.is_some() {
        let image = scratch.join("shrunk-image");
        let shrunk = simulated::shrink(subject, finding, plan, deadline, &image)?;
        return Ok(shrunk.map(|(finding, candidates, operations)| Shrunk {
            lives: finding
                .timeline
                .as_ref()
                .map_or(0, |timeline| timeline.steps.len()),
            finding,
            candidates,
            operations,
        }));
    }
    let mut player = Player {
        subject,
        plan,
        scratch,
        engine: &finding.engine,
        class: finding.violation.class(),
        played: 0,
    };
    let Some(mut smallest) = player.play(&finding.script)? else {
        return Ok(None);
    };
    'again: loop {
        for candidate in candidates(&smallest.script) {
            if Instant::now() > deadline {
                break 'again;
            }
            if let Some(smaller) = player.play(&candidate)? {
                smallest = smaller;
                continue 'again;
            }
        }
        break;
    }
    let operations = operations(&smallest) as u64;
    Ok(Some(Shrunk {
        lives: smallest.script.len(),
        finding: smallest,
        candidates: player.played,
        operations,
    }))
}

struct Player<'a> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    scratch: &'a Path,
    engine: &'a str,
    /// Only failures of this class count.
    class: String,
    played: u64,
}

impl Player<'_> {
    fn play(&mut self, script: &[Generation]) -> io::Result<Option<Finding>> {
        let alone = script
            .iter()
            .all(|generation| generation.workload.writers == 1);
        for number in 0..if alone { TRIES / 2 } else { TRIES } {
            self.played += 1;
            let rng = stream(self.plan.seed, u64::from(number));
            let mut lane = Lane::new(self.subject, self.plan, self.scratch, "shrink", rng);
            lane.seek(self.class.clone());
            let finding = lane.play(self.engine, script, &mut Tally::default())?;
            if finding.is_some() {
                return Ok(finding);
            }
        }
        Ok(None)
    }
}

/// Operations that the script's writers begin, all generations together: of the failed one, those that
/// were announced; of an earlier one, those it is told to.
fn operations(finding: &Finding) -> usize {
    let attempts = finding
        .events
        .iter()
        .filter(|event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. }));
    let earlier = finding.script.iter().rev().skip(1).map(|generation| {
        let Workload {
            actions_max,
            writers,
            ..
        } = generation.workload;
        actions_max.map_or(usize::MAX / 64, |max| max as usize * writers as usize)
    });
    attempts.count() + earlier.sum::<usize>()
}

/// Smaller scripts, the largest steps first.
fn candidates(script: &[Generation]) -> Vec<Vec<Generation>> {
    let mut candidates = Vec::new();
    // Only the last few generations.
    for kept in 1..script.len() {
        candidates.push(renumbered(&script[script.len() - kept..]));
    }
    for dropped in 0..script.len() {
        if script.len() > 1 {
            let mut fewer = script.to_vec();
            fewer.remove(dropped);
            candidates.push(renumbered(&fewer));
        }
    }
    for (index, generation) in script.iter().enumerate() {
        for workload in smaller_workloads(&generation.workload) {
            let mut smaller = script.to_vec();
            smaller[index].workload = workload;
            candidates.push(smaller);
        }
        let is_last = index + 1 == script.len();
        if !is_last {
            let KillPoint { calls, inside } = generation.kill;
            let earlier = smaller_numbers(calls).map(|calls| KillPoint { calls, inside });
            let whole = inside.map(|_| KillPoint {
                calls,
                inside: None,
            });
            let shorter = smaller_numbers(inside.unwrap_or(0)).map(|bytes| KillPoint {
                calls,
                inside: Some(bytes),
            });
            for kill in whole.into_iter().chain(earlier).chain(shorter) {
                let mut smaller = script.to_vec();
                smaller[index].kill = kill;
                candidates.push(smaller);
            }
        }
    }
    candidates
}

/// Generations are part of every id, and are numbered from 0.
fn renumbered(script: &[Generation]) -> Vec<Generation> {
    let mut script = script.to_vec();
    for (number, generation) in (0..).zip(&mut script) {
        generation.workload.generation = number;
    }
    script
}

/// Workloads that do less, or less oddly.
pub(crate) fn smaller_workloads(workload: &Workload) -> Vec<Workload> {
    let mut smaller = Vec::new();
    let mut propose = |change: &dyn Fn(&mut Workload)| {
        let mut candidate = workload.clone();
        change(&mut candidate);
        if candidate != *workload {
            smaller.push(candidate);
        }
    };
    propose(&|workload| workload.writers = 1);
    for actions in [1, 2, 3, 5, 8, 16, 64] {
        if workload.actions_max.is_none_or(|max| actions < max) {
            propose(&|workload| workload.actions_max = Some(actions));
        }
    }
    propose(&|workload| workload.writers = workload.writers.div_ceil(2));
    propose(&|workload| workload.style = Style::Steady);
    propose(&|workload| workload.trim_every = None);
    propose(&|workload| workload.replays = false);
    propose(&|workload| workload.refuse_every = u32::MAX);
    if let Some(max) = workload.actions_max {
        for actions in smaller_numbers(max.into()) {
            propose(&|workload| workload.actions_max = u32::try_from(actions).ok());
        }
    }
    for bytes in [8, 64, workload.payload_bytes_max / 2] {
        if bytes < workload.payload_bytes_max && bytes >= crate::workload::PAYLOAD_BYTES_MIN {
            propose(&|workload| workload.payload_bytes_max = bytes);
        }
    }
    smaller
}

/// Half, and one less; never none.
pub(crate) fn smaller_numbers(number: u64) -> impl Iterator<Item = u64> {
    [number / 2, number.saturating_sub(1)]
        .into_iter()
        .filter(move |n| *n > 0 && *n < number)
}

/// A test that plays the script again, ready to be pasted.
pub(crate) fn test_of(subject: &dyn Subject, finding: &Finding) -> String {
    let name: String = finding
        .subject
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let (script, what) = match &finding.timeline {
        Some(timeline) => (serde_json::to_string(timeline), "this_timeline"),
        None => (
            serde_json::to_string(&finding.script),
            "a_crash_at_every_system_call_of_this_script",
        ),
    };
    let script = script.expect("plain data");
    format!(
        "/// {violation}\n/// Found by plugpull, {point}.\n\
         #[test]\n\
         fn {name}_survives_{what}() {{\n    \
             let script = r#\"{script}\"#;\n    \
             plugpull::Torture::new({constructor})\n        \
                 .engine({engine:?})\n        \
                 .script(script)\n        \
                 .run()\n        \
                 .unwrap();\n\
         }}\n",
        violation = finding.violation,
        point = finding.crash_point,
        constructor = subject.constructor(),
        engine = finding.engine,
    )
}
