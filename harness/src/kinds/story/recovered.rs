//! What recovery shows of what had been promised.

use std::fmt::{self, Write as _};

use super::missing::{Missing, Since, missing};
use super::past::{Past, count, counts};
use crate::history::Event;
use crate::oracle::Violation;
use crate::survivor::Survivor;

/// Entries told around the place where it is wrong, to each side.
const AROUND: usize = 2;
const MISSING_TOLD: usize = 8;

/// A broken promise, and what recovery had shown by then.
#[derive(Clone, Debug)]
pub(in crate::kinds) struct Broken {
    pub(in crate::kinds) violation: Violation,
    /// `None` if it did not end in order.
    pub(in crate::kinds) shown: Option<Vec<Survivor>>,
}

impl Broken {
    /// The store failed by itself.
    pub(in crate::kinds) fn without_survivors(violation: Violation) -> Self {
        Self {
            violation,
            shown: None,
        }
    }

    pub(in crate::kinds) fn of(violation: Violation, shown: Vec<Survivor>) -> Self {
        Self {
            violation,
            shown: Some(shown),
        }
    }
}

/// What had been promised when the crash came.
pub(in crate::kinds) struct Promised<'s> {
    pub(in crate::kinds) past: &'s Past,
    pub(in crate::kinds) events: &'s [Event],
    pub(in crate::kinds) entry: &'s dyn Fn(u64) -> String,
}

impl Promised<'_> {
    /// What was promised, what recovery finds, near the place where it is wrong, and what is missing.
    pub(in crate::kinds) fn tell(&self, broken: &Broken) -> String {
        let mut told = String::new();
        self.write(&mut told, broken)
            .expect("a string takes everything");
        told
    }

    fn write(&self, told: &mut String, broken: &Broken) -> fmt::Result {
        let (earlier, _) = self.past.shown();
        writeln!(told, "   By then it had {}.", counts(self.events))?;
        if !earlier.is_empty() {
            writeln!(told, "   It had begun with {}.", count(earlier))?;
        }
        let Broken { violation, shown } = broken;
        if violation.is_writers() {
            return writeln!(told, "\nIt is the writer that fails: {violation}");
        }
        writeln!(told, "\nThen recovery finds: {violation}\n")?;
        let Some(shown) = shown else {
            return writeln!(told, "   It shows no entries.");
        };
        let mut missing = missing(self.past.shown(), self.events, shown);
        writeln!(told, "   It shows {}.", count(shown))?;
        let place = violation.place();
        // What the violation is about comes first.
        missing.sort_by_key(|missing| missing.position != place);
        let place = place.or_else(|| missing.first().and_then(|missing| missing.position));
        self.write_around(told, shown, place)?;
        self.write_missing(told, &missing)
    }

    fn write_around(
        &self,
        told: &mut String,
        shown: &[Survivor],
        place: Option<u64>,
    ) -> fmt::Result {
        let mut shown: Vec<&Survivor> = shown.iter().collect();
        shown.sort_by_key(|survivor| survivor.position);
        let (from, to) = match place {
            Some(place) => {
                let before = shown.partition_point(|survivor| survivor.position < place);
                let behind = shown.partition_point(|survivor| survivor.position <= place);
                writeln!(told, "   Near position {place}:")?;
                (before.saturating_sub(AROUND), behind + AROUND)
            }
            None if shown.is_empty() => return Ok(()),
            None => {
                writeln!(told, "   The last ones:")?;
                (shown.len().saturating_sub(2 * AROUND), shown.len())
            }
        };
        let mut nothing_at = place.filter(|place| shown.iter().all(|it| it.position != *place));
        for survivor in &shown[from..to.min(shown.len())] {
            if let Some(place) = nothing_at.take_if(|place| *place < survivor.position) {
                writeln!(told, "   - position {place}: nothing")?;
            }
            let mangled = if survivor.intact {
                ""
            } else {
                ", not the bytes that were written"
            };
            let (position, name) = (survivor.position, (self.entry)(survivor.id));
            writeln!(told, "   - position {position}: entry {name}{mangled}")?;
        }
        if let Some(place) = nothing_at {
            writeln!(told, "   - position {place}: nothing")?;
        }
        Ok(())
    }

    fn write_missing(&self, told: &mut String, missing: &[Missing]) -> fmt::Result {
        if missing.is_empty() {
            return Ok(());
        }
        writeln!(told, "   Promised, and not among what it shows:")?;
        for Missing {
            id,
            position,
            since,
        } in missing.iter().take(MISSING_TOLD)
        {
            let since = match since {
                Since::Recovered => "shown by an earlier recovery",
                Since::Read => "shown to a reader",
                Since::Acked => "acknowledged",
            };
            let at = |position| format!(" at position {position}");
            let position = position.map(at).unwrap_or_default();
            let name = (self.entry)(*id);
            writeln!(told, "   - entry {name}, {since}{position}")?;
        }
        if missing.len() > MISSING_TOLD {
            writeln!(told, "   - and {} more", missing.len() - MISSING_TOLD)?;
        }
        Ok(())
    }
}
