//! A failure, told: which operations ran, what was acknowledged between them, what the cut took.

use std::fmt::Write as _;
use std::io;

use super::decay::{disk_at, examine_damaged};
use super::timeline::{End, Life, Step, Timeline};
use super::world::{Bench, LastWords, Lived, World};
use crate::history::Event;
use crate::kinds::contract::Verdict;
use crate::sim::{Fault, Narrator, Profile};
use crate::survivor::Survivor;

/// Operations told of each life, its last ones.
const OPERATIONS_TOLD: usize = 24;
const LOSSES_TOLD: usize = 24;

/// Where nothing of a timeline has happened yet.
fn before<'a>(bench: &Bench<'a>, timeline: &Timeline) -> io::Result<World<'a>> {
    let start = Timeline {
        steps: Vec::new(),
        ..timeline.clone()
    };
    World::new(bench.clone(), start)
}

/// The world after the first steps of a timeline.
pub(crate) fn after<'a>(
    bench: &Bench<'a>,
    timeline: &Timeline,
    steps: &[Step],
) -> io::Result<World<'a>> {
    let mut world = before(bench, timeline)?;
    for step in steps {
        let lived = world.live(&step.life, &step.faults)?;
        world = world.after(&lived, step.clone());
    }
    Ok(world)
}

/// What the last recovery that came to its end showed, before the last life.
pub(super) fn shown_before(bench: &Bench<'_>, timeline: &Timeline) -> io::Result<Vec<Survivor>> {
    let mut world = before(bench, timeline)?;
    let mut shown = Vec::new();
    let earlier = timeline
        .steps
        .split_last()
        .map_or(&[][..], |(_, earlier)| earlier);
    for step in earlier {
        let lived = world.live(&step.life, &step.faults)?;
        if let (Life::Recover { .. }, None, Ok(survivors)) = (&step.life, step.until, &lived.result)
        {
            shown.clone_from(survivors);
        }
        world = world.after(&lived, step.clone());
    }
    Ok(shown)
}

/// Tells what happened, life after life.
pub(crate) fn tell(bench: &Bench<'_>, timeline: &Timeline) -> io::Result<String> {
    let mut world = before(bench, timeline)?;
    let mut story = String::new();
    for (number, step) in timeline.steps.iter().enumerate() {
        let lived = world.live(&step.life, &step.faults)?;
        tell_step(&mut story, number + 1, &world, step, &lived).expect("a string takes everything");
        world = world.after(&lived, step.clone());
    }
    for damage in &timeline.damage {
        writeln!(story, "- Then a sector rots: {damage}.").expect("a string takes everything");
    }
    for Fault { kind, after } in &timeline.recovery_faults {
        writeln!(
            story,
            "- While that is recovered, {kind}, after {after} that went well."
        )
        .expect("a string takes everything");
    }
    Ok(story)
}

fn tell_step(
    story: &mut String,
    number: usize,
    world: &World<'_>,
    step: &Step,
    lived: &Lived,
) -> std::fmt::Result {
    let gaps = &lived.recording.gaps;
    let last = gaps.len() - 1;
    let gap = step.until.unwrap_or(last).min(last);
    match &step.life {
        Life::Write(workload) => write!(
            story,
            "{number}. A process opens the store and writes: generation {}, {} writers.",
            workload.generation, workload.writers
        )?,
        Life::Recover { close } => write!(
            story,
            "{number}. A process opens the store and reads what is there{}.",
            if *close { ", and closes it" } else { "" }
        )?,
    }
    for fault in &step.faults {
        write!(
            story,
            " Its disk fails: {}, after {} that went well.",
            fault.kind, fault.after
        )?;
    }
    story.push_str("\n\n");
    let first = gap.saturating_sub(OPERATIONS_TOLD);
    if first > 0 {
        writeln!(story, "          ... {first} operations before")?;
    }
    let mut known = world.events_at(&step.life, lived, first).len();
    for index in first..gap {
        writeln!(story, "    {}", lived.recording.tell(index))?;
        if let Some(dropped) = lived.recording.tell_dropped(index) {
            writeln!(story, "          {dropped}")?;
        }
        let events = world.events_at(&step.life, lived, index + 1);
        tell_events(story, &events[known..])?;
        known = events.len();
    }
    match (&lived.result, gap == last) {
        (Err(LastWords::Error(words)), true) => writeln!(story, "          it stops: {words}")?,
        (Err(LastWords::Panic(words)), true) => writeln!(story, "          it panics: {words}")?,
        (Err(LastWords::Endless(_)), true) => writeln!(story, "          it does not stop")?,
        (Ok(survivors), true) if matches!(step.life, Life::Recover { .. }) => {
            let (entries, is_closed) = Survivor::entries(survivors);
            if is_closed {
                writeln!(story, "          it finds the store closed in order")?;
            }
            let positions = entries.iter().map(|survivor| survivor.position);
            match (positions.clone().min(), positions.max()) {
                (Some(from), Some(to)) => {
                    writeln!(story, "          it shows positions {from} to {to}")?;
                }
                _ => writeln!(story, "          it shows nothing")?,
            }
        }
        _ => {}
    }
    story.push('\n');
    match &step.end {
        End::Kill if step.until.is_some() => {
            writeln!(
                story,
                "   It is killed. What it wrote is there, as little durable as before."
            )?;
        }
        End::Kill => writeln!(
            story,
            "   It ends. What it wrote is there, as little durable as before."
        )?,
        End::PowerLoss(answers) => {
            let mut narrator = Narrator::new(answers);
            gaps[gap].disk.crash(&mut narrator);
            let of = narrator.losses.len();
            writeln!(
                story,
                "   The power is lost, by the rules of `{}`. Of what no sync had made durable, {}",
                world.timeline.profile,
                match (of, world.timeline.profile) {
                    // Nobody is asked there.
                    (_, Profile::SyncedOnly) => "all is lost, names too.",
                    (0, _) => "nothing is lost.",
                    _ => "this is lost:",
                }
            )?;
            for loss in narrator.losses.iter().take(LOSSES_TOLD) {
                writeln!(story, "   - {loss}")?;
            }
            if of > LOSSES_TOLD {
                writeln!(story, "   - and {} more", of - LOSSES_TOLD)?;
            }
        }
    }
    story.push('\n');
    Ok(())
}

/// What was announced between two operations; what a reader was shown, in one line.
fn tell_events(story: &mut String, events: &[Event]) -> std::fmt::Result {
    let shown = events.iter().filter_map(|event| match event {
        Event::Shown { position, .. } => Some(*position),
        _ => None,
    });
    let entry = |id| format!("{id:#x}");
    for told in events
        .iter()
        .filter_map(|event| event.outcome_in_words(&entry))
    {
        writeln!(story, "          {told}")?;
    }
    if let (Some(from), Some(to)) = (shown.clone().min(), shown.max()) {
        writeln!(
            story,
            "          shown to a reader: positions {from} to {to}"
        )?;
    }
    Ok(())
}

/// Where it broke, in a line.
pub(crate) fn point(bench: &Bench<'_>, timeline: &Timeline) -> io::Result<String> {
    let Some((last, earlier)) = timeline.steps.split_last() else {
        return Ok("before anything was done".into());
    };
    let world = after(bench, timeline, earlier)?;
    let lived = world.live(&last.life, &last.faults)?;
    let gap = last.until.unwrap_or(usize::MAX);
    let when = if gap < lived.recording.operations.len() {
        format!(
            "before operation {}",
            lived.recording.tell(gap).trim_start()
        )
    } else {
        "when its work was done".into()
    };
    let what = match (&last.end, timeline.damage.len()) {
        (_, 1..) => "sectors rotted",
        (End::Kill, _) => "killed",
        (End::PowerLoss(_), _) => "power loss",
    };
    let faults: Vec<String> = timeline
        .steps
        .iter()
        .flat_map(|step| &step.faults)
        .map(|fault| fault.kind.to_string())
        .collect();
    let faults = match faults.as_slice() {
        [] => String::new(),
        faults => format!(", after {}", faults.join(", ")),
    };
    let profile = timeline.profile;
    Ok(format!(
        "{what} in life {}, {when}, by the rules of `{profile}`{faults}",
        earlier.len() + 1
    ))
}

/// Plays a timeline from its beginning: the first promise that is broken on the way, or in the end.
pub(crate) fn play(bench: &Bench<'_>, timeline: &Timeline) -> io::Result<Verdict> {
    let mut world = before(bench, timeline)?;
    let mut past = None;
    for step in &timeline.steps {
        let lived = world.live(&step.life, &step.faults)?;
        let ended_before = step
            .until
            .is_some_and(|until| until + 1 < lived.recording.gaps.len());
        if !ended_before && let Err(violation) = world.judge(&step.life, &lived) {
            return Ok(Err(violation));
        }
        world = world.after(&lived, step.clone());
        past = Some(lived);
    }
    if timeline.damage.is_empty() {
        let disk = world.disk.clone();
        return Ok(world
            .examine(disk, &world.events, &world.workloads)
            .map(drop));
    }
    let mut disk = world.disk.clone();
    if let Some(past) = past {
        for damage in &timeline.damage {
            let then = damage.moment();
            let then = then.and_then(|moment| disk_at(&world, &past, moment));
            disk.damage(damage, then);
        }
    }
    Ok(examine_damaged(&world, &disk, &timeline.recovery_faults).map(drop))
}
