//! A failure on the simulated file system, kept.

use std::io;
use std::path::Path;

use super::search::Failure;
use super::story;
use super::timeline::{Life, Timeline};
use super::world::Bench;
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Head};
use crate::kinds::story::{Broken, Past, Promised, files_in};
use crate::oracle::Violation;
use crate::scratch::remove_dir;
use crate::sim::Disk;
use crate::survivor::Survivor;

/// Keeps a failure: its disk laid out in `image`, its story told, its timeline as evidence.
pub(super) fn keep(
    bench: &Bench<'_>,
    failure: Failure,
    (crash, seed): (CrashKind, u64),
    image: &Path,
) -> io::Result<Finding> {
    let Failure {
        timeline,
        violation,
        events,
        disk,
    } = failure;
    remove_dir(image)?;
    disk.lay_out(image)?;
    let workloads = timeline.steps.iter().filter_map(|step| match &step.life {
        Life::Write(workload) => Some(workload.clone()),
        Life::Recover { .. } => None,
    });
    let broken = Broken {
        shown: shown_on(bench, &timeline, &violation, disk)?,
        violation: violation.clone(),
    };
    let promised = Promised {
        past: &Past::showing(story::shown_before(bench, &timeline)?),
        events: &events,
        entry: &|id| format!("{id:#x}"),
    };
    let story = format!(
        "Numbers count the operations that changed something, over all lives. `image/` is what recovery \
         found.\n\n{}{}\nThe crash leaves, in `image/`:\n\n{}",
        story::tell(bench, &timeline)?,
        promised.tell(&broken),
        files_in(image)?,
    );
    let head = Head {
        workloads: workloads.collect(),
        ..Head::new(bench.subject.name(), &timeline.engine, violation)
    };
    Ok(Finding::new(crash, seed, head)
        .at(story::point(bench, &timeline)?)
        .with_events(events)
        .with_image(image)
        .with_story(story)
        .with_evidence(&timeline))
}

/// What recovery shows of the promise that it breaks, if it comes to its end.
fn shown_on(
    bench: &Bench<'_>,
    timeline: &Timeline,
    violation: &Violation,
    disk: Disk,
) -> io::Result<Option<Vec<Survivor>>> {
    if matches!(violation, Violation::Broken { .. }) {
        return Ok(None);
    }
    let world = story::after(bench, timeline, &timeline.steps)?;
    let (shown, _) = world.show(disk, &world.workloads, &timeline.recovery_faults);
    Ok(shown.ok())
}
