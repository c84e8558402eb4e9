//! The smallest script that still fails in the same way.
//!
//! Threads make runs differ. A candidate with several writers is therefore played a few times before
//! it counts as one that does not fail, and one of the first steps is to a single writer.

use std::io;

use super::script::{Generation, Script};
use super::worker::Tracing;
use crate::finding::Finding;
use crate::history::Event;
use crate::kinds::contract::{NO_SCRIPT_OF_A_COMMAND, Saved, Shrinking};
use crate::kinds::sought::Sought;
use crate::loss::KillPoint;
use crate::shrink::{Deadline, Test, minimise, smaller_numbers, smaller_workloads};
use crate::tally::Tally;
use crate::workload::{Workload, stream};

/// How often a script with several writers is played.
const TRIES: u32 = 4;

/// A script that fails.
struct Failing {
    script: Script,
    finding: Finding,
}

pub(super) fn shrink(saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
    let script: Option<Script> = saved.finding.evidence().ok();
    let Some(script) = script.filter(|script| !script.is_empty()) else {
        return Ok(Shrinking::Impossible(NO_SCRIPT_OF_A_COMMAND.to_owned()));
    };
    let mut played = 0;
    let mut play = |script: Script| play(saved, script, &mut played);
    let Some(failing) = play(script)? else {
        let gone = "its script breaks no promise";
        return Ok(Shrinking::Gone(gone));
    };
    let candidates = |failing: &Failing| candidates(&failing.script);
    let Failing { script, finding } = minimise(failing, deadline, candidates, play)?;
    let told = format!(
        "{} operations in {} lives, after {played} scripts",
        operations(&script, &finding),
        script.len()
    );
    let test = Test {
        script: serde_json::to_string(&script).expect("plain data"),
        promise: "a_crash_at_every_system_call_of_this_script",
    };
    let more = test.of(saved.tested, &finding);
    Ok(Shrinking::Smallest {
        finding: Box::new(finding),
        told,
        more,
    })
}

fn play(saved: Saved<'_>, script: Script, played: &mut u64) -> io::Result<Option<Failing>> {
    let alone = script
        .iter()
        .all(|generation| generation.workload.writers == 1);
    let plan = saved.plan.with_engine(&saved.finding.engine);
    for number in 0..if alone { TRIES / 2 } else { TRIES } {
        *played += 1;
        let rng = stream(plan.seed, u64::from(number));
        let store = saved.tested.store(&plan);
        let sought = Sought::Class(saved.finding.violation.class());
        let mut tracing = Tracing::new(store, &plan, saved.scratch, "shrink", sought, rng);
        if let Some(finding) = tracing.play(&script, &mut Tally::default())? {
            return Ok(Some(Failing { script, finding }));
        }
    }
    Ok(None)
}

/// Operations that the script's writers begin, all generations together: of the failed one, those that
/// were announced; of an earlier one, those that its workload has. A workload without end counts as none.
fn operations(script: &Script, finding: &Finding) -> String {
    let attempts = finding
        .events
        .iter()
        .filter(|event| matches!(event, Event::Attempt { .. } | Event::AttemptDelete { .. }));
    let earlier = script.iter().rev().skip(1).map(|generation| {
        let Workload {
            actions_max,
            writers,
            ..
        } = generation.workload;
        actions_max.map(|max| max as usize * writers as usize)
    });
    let known = attempts.count() + earlier.clone().flatten().sum::<usize>();
    let at_least = if earlier
        .clone()
        .any(|actions: Option<usize>| actions.is_none())
    {
        "at least "
    } else {
        ""
    };
    format!("{at_least}{known}")
}

/// Smaller scripts, the largest steps first.
fn candidates(script: &Script) -> Vec<Script> {
    let mut candidates = Vec::new();
    // Only the last few generations.
    for kept in 1..script.len() {
        candidates.push(renumbered(&script[script.len() - kept..]));
    }
    for dropped in 0..script.len() {
        if script.len() > 1 {
            let mut fewer = script.clone();
            fewer.remove(dropped);
            candidates.push(renumbered(&fewer));
        }
    }
    for (index, generation) in script.iter().enumerate() {
        for workload in smaller_workloads(&generation.workload) {
            let mut smaller = script.clone();
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
                let mut smaller = script.clone();
                smaller[index].kill = kill;
                candidates.push(smaller);
            }
        }
    }
    candidates
}

/// Generations are part of every id, and are numbered from 0.
fn renumbered(script: &[Generation]) -> Script {
    let mut script = script.to_vec();
    for (number, generation) in (0..).zip(&mut script) {
        generation.workload.generation = number;
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash_kind::CrashKind;
    use crate::finding::Head;
    use crate::loss::Cuts;
    use crate::oracle::Violation;

    fn generation(number: u32, actions_max: Option<u32>) -> Generation {
        let workload = Workload {
            actions_max,
            writers: 2,
            ..Workload::draw_small(&mut stream(1, 0), number)
        };
        Generation {
            workload,
            kill: KillPoint {
                calls: 9,
                inside: None,
            },
            cuts: Cuts::default(),
        }
    }

    /// The ids of a high generation have many bits.
    #[test]
    fn operations_are_counted_and_neither_ids_nor_endless_workloads_are_taken_for_counts() {
        let id = |count| 0x3fff_u64 << 44 | count;
        let events = vec![
            Event::Attempt { id: id(0), key: 0 },
            Event::Ack {
                id: id(0),
                position: id(7),
            },
            Event::AttemptDelete { id: id(1), key: 3 },
        ];
        let head = Head::new("store", "default", Violation::Mangled { position: 1 });
        let finding = Finding::new(CrashKind::Syscall, 1, head).with_events(events);
        for (script, told) in [
            (vec![generation(0, None)], "2"),
            (vec![generation(0, Some(5)), generation(1, None)], "12"),
            (
                vec![
                    generation(0, None),
                    generation(1, Some(5)),
                    generation(2, None),
                ],
                "at least 12",
            ),
        ] {
            assert_eq!(operations(&script, &finding), told);
        }
    }
}
