//! `power`, `fault` and `rot` for any program: a run is traced, and a simulated file system follows it, or the
//! run is on that file system, mounted. It knows what a power cut leaves. For `fault`, the tracer or the mounted
//! file system answers some calls with an error; for `rot`, sectors of what a crash leaves are damaged.
//!
//! A run is not repeatable, so a failure keeps everything that was done, and is replayed, shrunk and told
//! from that.

mod bench;
mod control;
mod damaged;
mod end_control;
mod faulty;
mod keep;
mod lives;
mod moments;
mod rotten;
mod scene;
mod shrink;
mod story;
mod worker;

use std::io;

pub(crate) use self::bench::Bench;

use self::damaged::examine_damaged;
use self::lives::Lives;
use super::contract::{Job, Replayed, Saved, Shrinking, Worker};
use super::examine::{replay_image, verdict};
use crate::injection::Injection;
use crate::mount;
use crate::plan::Plan;
use crate::process;
use crate::recorder::{RecorderKind, Run};
use crate::scratch::remove_dir;
use crate::shrink::Deadline;
use crate::store::{Tested, Work};
use crate::tally::Tally;
use crate::workload::stream;

pub(super) fn available(
    tested: Tested<'_>,
    plan: &Plan,
    recorder: RecorderKind,
) -> Result<(), String> {
    tested.has_what_it_needs()?;
    let scratch = plan.scratch_dir(true);
    process::available_traced(&plan.launcher, &scratch)?;
    match recorder {
        RecorderKind::Mount => mount::available(&scratch),
        _ => Ok(()),
    }
}

pub(super) fn worker<'a>(job: &Job<'a>) -> Box<dyn Worker + 'a> {
    Box::new(worker::OnTrace::new(job))
}

/// Whether a failure was found here.
pub(super) fn is_ours(saved: Saved<'_>) -> bool {
    saved.finding.evidence::<Lives>().is_ok()
}

/// Makes the crash state again from what was done, recovers it and asks the oracle.
pub(super) fn replay(saved: Saved<'_>) -> io::Result<Replayed> {
    let lives: Lives = saved.finding.evidence()?;
    let is_writers = saved.finding.violation.is_writers();
    let has_faults = lives.lives.last().is_some_and(|life| !life.plan.is_empty());
    if is_writers && has_faults {
        return write_again(saved, &lives);
    }
    // A control has no crash.
    if is_writers || lives.lives.is_empty() {
        return replay_image(saved);
    }
    let dir = saved.scratch.join("replay");
    let mut store = saved.tested.resumed(saved.finding, saved.plan)?;
    let disk = lives.crash_state()?;
    if lives.is_damaged() {
        let verdict = examine_damaged(&mut *store, &dir, &disk, &saved.finding.events)?;
        let note = "The crash state was made again from what the program did, and damaged in the same way.";
        return Ok(Replayed {
            verdict: verdict.map(drop),
            note: Some(note.to_owned()),
        });
    }
    remove_dir(&dir)?;
    disk.lay_out(&dir)?;
    let recovered = store.recover_apart(&dir, false)?;
    let verdict = verdict(&*store, &saved.finding.events, &recovered);
    Ok(Replayed {
        verdict: verdict.map_err(|violation| violation.without_dir(&dir)),
        note: Some("The crash state was made again from what the program did.".to_owned()),
    })
}

/// Lets the writer run once more, on a disk that fails as it did.
fn write_again(saved: Saved<'_>, lives: &Lives) -> io::Result<Replayed> {
    let mut disks = lives.disks()?;
    disks.pop();
    let (disk, life) = disks.pop().zip(lives.lives.last()).expect("it has a life");
    let mut bench = Bench {
        store: saved.tested.resumed(saved.finding, saved.plan)?,
        dir: saved.scratch.join("replay"),
        recorder: lives.recorder,
        ignored: saved.plan.ignored.clone(),
        rng: stream(saved.finding.seed, 0),
    };
    bench.store.take_back();
    let injection = Injection::new(&life.plan, saved.finding.seed);
    let run = Run::Write(Work::Traced);
    let recording = bench.record(
        run,
        disk,
        Vec::new(),
        Some(injection),
        &mut Tally::default(),
    )?;
    Ok(Replayed {
        verdict: recording.failed.map_or(Ok(()), Err),
        note: Some("The writer ran once more, on a disk that fails in the same way.".to_owned()),
    })
}

pub(super) fn shrink(saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
    shrink::shrink(saved, deadline)
}
