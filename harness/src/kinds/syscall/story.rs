//! The failed life of a traced store, told: its calls around the crash, and what was announced between them.

use std::fmt::{self, Write as _};
use std::path::Path;

use crate::history::Event;
use crate::image::Image;
use crate::kinds::story::Announcements;
use crate::loss::Death;
use crate::recorder::{Recording, Step, Traced};

/// Calls told before the crash.
const CALLS_TOLD: usize = 12;

/// A crash state, and the runs that led to it.
#[derive(Clone, Copy)]
pub(super) struct Crash<'c> {
    /// Of the writer.
    cut: Cut<'c>,
    /// Of the recovery after it, if that was killed, too.
    recovery: Option<Cut<'c>>,
}

/// A run, and where it was killed.
#[derive(Clone, Copy)]
struct Cut<'c> {
    run: &'c Traced,
    moment: usize,
    state: &'c Death,
}

impl<'c> Crash<'c> {
    /// A writer was killed.
    pub(super) fn in_run(run: &'c Traced, moment: usize, state: &'c Death) -> Self {
        Self {
            cut: Cut { run, moment, state },
            recovery: None,
        }
    }

    /// Its recovery was killed, too.
    pub(super) fn in_recovery(self, run: &'c Traced, moment: usize, state: &'c Death) -> Self {
        Self {
            recovery: Some(Cut { run, moment, state }),
            ..self
        }
    }

    /// The directory that it leaves.
    pub(super) fn image(&self) -> Image {
        self.recovery.unwrap_or(self.cut).state.image()
    }

    /// Where it happened, in a line.
    pub(super) fn point(&self) -> String {
        let point = &self.cut.state.point;
        match self.recovery {
            Some(recovery) => format!("{point}, then in recovery {}", recovery.state.point),
            None => point.clone(),
        }
    }

    /// The life with this number, which had announced these events, and the recovery that was killed after
    /// it.
    pub(super) fn tell(
        &self,
        number: usize,
        events: &[Event],
        entry: &dyn Fn(u64) -> String,
    ) -> String {
        let mut told = format!("{number}. A process opens the store and writes.\n\n");
        let said = Announcements::of(events, entry);
        self.cut
            .tell(&mut told, said)
            .expect("a string takes everything");
        if let Some(recovery) = &self.recovery {
            let number = number + 1;
            let what = "A process opens the store and reads what is there.";
            let said = Announcements::of(&[], entry);
            writeln!(told, "\n{number}. {what}\n")
                .and_then(|()| recovery.tell(&mut told, said))
                .expect("a string takes everything");
        }
        told
    }
}

impl Cut<'_> {
    /// The number of calls that were begun, those cut short among them.
    fn calls(&self) -> usize {
        // The beginning, and then two moments a call: before it, and after it or in it.
        (self.moment / 2).min(self.run.steps.len())
    }

    /// The moment before a call. There is none before the one that was never made.
    fn before(call: usize) -> usize {
        1 + 2 * call
    }

    fn tell(&self, told: &mut String, mut said: Announcements<'_>) -> fmt::Result {
        let (steps, calls) = (&self.run.steps, self.calls());
        let first = calls.saturating_sub(CALLS_TOLD);
        if first > 0 {
            writeln!(told, "          ... {first} calls before")?;
            let before = self.run.announced_at(Self::before(first).min(self.moment));
            said.pass_over(&before);
        } else {
            let before = self.run.announced_at(1.min(self.moment));
            write_all(told, &said.new_in(&before))?;
        }
        for (number, step) in steps.iter().enumerate().take(calls).skip(first) {
            writeln!(told, "    {:>4}  {}", number + 1, step.call)?;
            let is_cut = number + 1 == calls && self.inside().is_some();
            if let Some(effect) = effect(step).filter(|_| !is_cut) {
                writeln!(told, "          {effect}")?;
            }
            let until = Self::before(number + 1).min(self.moment);
            write_all(told, &said.new_in(&self.run.announced_at(until)))?;
        }
        let state = self.state;
        let has_ended = self.run.end.is_some() && self.moment + 1 == self.run.moments();
        let next = steps.get(calls).filter(|_| self.inside().is_none());
        match (next, self.inside()) {
            _ if has_ended => writeln!(told, "\n   It ends. What it wrote is there."),
            (_, Some(bytes)) => writeln!(
                told,
                "\n   It is killed in call {calls}, which has written {bytes} bytes by then."
            ),
            (Some(step), None) => {
                let point = &state.point;
                writeln!(told, "\n   It is killed {point}. What it wrote is there.")?;
                writeln!(told, "   Not made any more:")?;
                writeln!(told, "    {:>4}  {}", calls + 1, step.call)
            }
            (None, None) => {
                let point = &state.point;
                writeln!(told, "\n   It is killed {point}. What it wrote is there.")
            }
        }
    }

    /// How many bytes of its last call were written, if that one was cut.
    fn inside(&self) -> Option<u64> {
        self.state.kill.and_then(|kill| kill.inside)
    }
}

fn write_all(told: &mut String, lines: &[String]) -> fmt::Result {
    for line in lines {
        writeln!(told, "          {line}")?;
    }
    Ok(())
}

/// What a call has made of the directory, beyond the bytes that it names.
fn effect(step: &Step) -> Option<String> {
    let Some(after) = &step.after else {
        return Some("(it has not returned)".to_owned());
    };
    if !step.succeeded {
        return Some("(it fails)".to_owned());
    }
    let paths = step.call.paths().iter().map(|path| &**path);
    let mut names: Vec<&Path> = match step.name.as_deref() {
        Some(name) => vec![name],
        None => paths.filter(|path| path.is_relative()).collect(),
    };
    names.dedup();
    let changes: Vec<String> = names
        .into_iter()
        .filter_map(|name| {
            let [was, is] = [&step.before.image, &after.image].map(|image| stands(image, name));
            let name = name.display();
            (was != is).then(|| format!("{name}: {was}, then {is}"))
        })
        .collect();
    (!changes.is_empty()).then(|| changes.join("; "))
}

/// What stands under a name.
fn stands(image: &Image, name: &Path) -> String {
    let Some(entry) = image.entry(name) else {
        return "nothing".to_owned();
    };
    match entry.content() {
        Some(content) => format!("{} bytes", content.len()),
        None => format!("a {}", entry.kind()),
    }
}
