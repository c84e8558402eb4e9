//! A failure on the simulated file system, kept.

use std::io;
use std::path::Path;

use super::search::Failure;
use super::story;
use super::timeline::Life;
use super::world::Bench;
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Head};
use crate::scratch::remove_dir;

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
    let story = format!(
        "Numbers count the operations that changed something, over all lives. `image/` is what recovery \
         found.\n\n{}Then recovery finds: {violation}\n",
        story::tell(bench, &timeline)?
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
