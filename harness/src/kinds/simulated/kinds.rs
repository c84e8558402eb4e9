//! The crash kinds: three ways to go through the same rounds.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::keep::keep;
use super::prepared::Prepared;
use super::shrink;
use super::simulation::Simulation;
use super::story;
use super::timeline::Timeline;
use super::watch::{About, Watch};
use super::world::{Bench, STORE};
use crate::crash_kind::CrashKind;
use crate::hang::OnHang;
use crate::kinds::contract::{Case, Job, Kind, Played, Replayed, Saved, Shrinking, Worker};
use crate::kinds::early::Early;
use crate::kinds::sought::Sought;
use crate::known::Known;
use crate::plan::Plan;
use crate::report::Coverage;
use crate::shrink::Deadline;
use crate::stop::Stop;
use crate::store::Tested;
use crate::tally::Tally;

/// The crash kind `power`.
pub(crate) struct Power;

/// The crash kind `fault`.
pub(crate) struct Fault;

/// The crash kind `rot`.
pub(crate) struct Rot;

/// What the three have in common.
macro_rules! simulated {
    ($kind:ident, $description:literal) => {
        impl Kind for $kind {
            fn id(&self) -> CrashKind {
                CrashKind::$kind
            }

            fn describe(&self) -> &'static str {
                $description
            }

            fn available(&self, tested: Tested<'_>, _: Case, plan: &Plan) -> Result<(), String> {
                available(tested, plan)
            }

            /// In memory, in this process.
            fn probe(&self) -> Vec<(String, Result<(), String>)> {
                vec![(self.id().to_string(), Ok(()))]
            }

            fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
                Box::new(Simulation::new(&job))
            }

            fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
                replay(saved)
            }

            fn shrink(&self, saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
                shrink_saved(saved, deadline)
            }

            fn play(
                &self,
                script: &Value,
                job: &Job<'_>,
                tally: &mut Tally,
            ) -> io::Result<Option<Played>> {
                match serde_json::from_value::<Timeline>(script.clone()) {
                    Ok(timeline) if timeline.kind() == self.id() => {
                        play(&timeline, job, tally).map(Some)
                    }
                    _ => Ok(None),
                }
            }
        }
    };
}

simulated!(
    Power,
    "the simulated file system loses power at any operation, in recovery too; finds missing \
     and misplaced syncs, of directories too, wrong orders, torn writes; cannot find what \
     needs a real kernel"
);
simulated!(
    Fault,
    "the simulated disk fails (syncs, writes, reads, creation, renames, space), then power \
     is lost; finds retried syncs, acks after errors, forgotten rollbacks"
);
simulated!(
    Rot,
    "flipped bits, zeroed, swapped, stale and misplaced sectors in what survived; finds \
     damage accepted in silence; cannot blame the loss of what nothing on disk vouches for"
);

fn available(tested: Tested<'_>, plan: &Plan) -> Result<(), String> {
    let name = tested.name();
    let Some((_, store)) = tested.simulated() else {
        return Err(format!(
            "{name} does not run on the simulated file system; a store does if it implements \
             Subject::simulated"
        ));
    };
    let engines = plan.engines_of(tested.engines());
    if engines.iter().any(|engine| store.runs(engine)) {
        return Ok(());
    }
    Err(format!(
        "{name} does not run with these engines on the simulated file system"
    ))
}

/// What a timeline is played on. If its store hangs, that is saved in `out`.
fn bench_of<'a>(
    tested: Tested<'a>,
    timeline: &Timeline,
    plan: &Plan,
    out: &Path,
    on_hang: &OnHang,
) -> io::Result<Bench<'a>> {
    let Some((subject, store)) = tested.simulated() else {
        let name = tested.name();
        return Err(io::Error::other(format!(
            "{name} does not run on the simulated file system (any more)"
        )));
    };
    Ok(Bench {
        subject,
        store,
        watch: Watch::begin(About {
            subject: subject.name().to_owned(),
            crash: timeline.kind(),
            seed: timeline.seed,
            limit: plan.hang_limit,
            out: out.to_owned(),
            given: plan.image.clone(),
            on_hang: Arc::clone(on_hang),
        }),
        filter: None,
        // What was found is told to its end.
        stop: Stop::default(),
        early: Early::default(),
        prepared: Prepared::of(plan, STORE)?,
    })
}

/// The timeline of a saved failure, and what it is played on.
fn take_up<'a>(saved: Saved<'a>, out: &Path) -> io::Result<(Timeline, Bench<'a>)> {
    let timeline: Timeline = saved.finding.evidence()?;
    let bench = bench_of(saved.tested, &timeline, saved.plan, out, saved.on_hang)?;
    Ok((timeline, bench))
}

/// Plays the timeline of a failure again.
fn replay(saved: Saved<'_>) -> io::Result<Replayed> {
    let (timeline, bench) = take_up(saved, saved.scratch)?;
    Ok(Replayed {
        verdict: story::play(&bench, &timeline)?,
        note: None,
    })
}

/// Plays a timeline, then looks at every moment of its last life: when the store has changed, what was
/// broken may be somewhere else.
fn play(timeline: &Timeline, job: &Job<'_>, tally: &mut Tally) -> io::Result<Played> {
    let bench = bench_of(job.tested, timeline, job.plan, &job.plan.out, job.on_hang)?;
    tally.rounds = 1;
    let failure = shrink::search(&bench, timeline, &Sought::First(Known::default()))?;
    let about = (timeline.kind(), timeline.seed);
    let image = job.scratch.join("image");
    let keep = |failure| keep(&bench, failure, about, &image);
    let finding = failure.map(keep).transpose()?;
    if let Some(finding) = &finding {
        tally.violated(&finding.violation);
    }
    Ok(Played {
        findings: finding.into_iter().collect(),
        // All moments of the last life, and some outcomes of each.
        coverage: Coverage::Sampled,
        crash: timeline.kind(),
    })
}

fn shrink_saved(saved: Saved<'_>, deadline: Deadline<'_>) -> io::Result<Shrinking> {
    let (timeline, bench) = take_up(saved, &saved.plan.out)?;
    let class = saved.finding.violation.class();
    let Some(smallest) = shrink::shrink(&bench, &timeline, &class, deadline)? else {
        return Ok(Shrinking::Gone("its script breaks no promise"));
    };
    let image = saved.scratch.join("shrunk-image");
    let about = (saved.finding.crash, saved.finding.seed);
    let (told, test) = smallest.told(&bench)?;
    let finding = keep(&bench, smallest.failure, about, &image)?;
    Ok(Shrinking::Smallest {
        more: test.of(saved.tested, &finding),
        finding: Box::new(finding),
        told,
    })
}
