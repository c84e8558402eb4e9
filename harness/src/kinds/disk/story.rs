//! A crash on a real disk, in words.

use std::fmt::Write as _;

use super::contents::Contents;
use super::crash::DiskCrash;
use crate::disk::Recording;

/// Requests told, the last ones.
const REQUESTS_TOLD: usize = 40;

impl DiskCrash {
    /// Where it happened, in a line.
    pub(super) fn point(&self) -> String {
        let options = &self.file_system.mount_options;
        let mounted = match options.as_str() {
            "" => String::new(),
            options => format!(" (mounted with {options})"),
        };
        format!(
            "power loss on {}{mounted}, after request {} of the device",
            self.file_system.kind, self.index
        )
    }

    /// The requests before the cut, what was announced between them, and which of them did not reach
    /// the medium. `name` names an entry.
    pub(super) fn tell(
        &self,
        recording: &Recording,
        contents: &Contents,
        name: &dyn Fn(u64) -> String,
    ) -> String {
        let mut tale = "Numbers count the requests that the device has answered.\n\n".to_owned();
        let Recording { entries, .. } = recording;
        let outcome = &self.outcome;
        let done = entries
            .iter()
            .take_while(|entry| entry.answered <= self.index)
            .count();
        let first = done.saturating_sub(REQUESTS_TOLD);
        let mut line = |text: String| writeln!(tale, "{text}").expect("a string takes everything");
        if !entries.iter().any(|entry| entry.request.is_flush()) {
            line(format!(
                "The device was never asked to flush{}.\n",
                match self.file_system.mount_options.as_str() {
                    "" => String::new(),
                    options => format!(": look at the mount options, {options}"),
                }
            ));
        }
        line("What the device was asked, and what was announced meanwhile:\n".into());
        let mut all_there = true;
        for (number, entry) in entries.iter().enumerate().take(done).skip(first) {
            let kept = outcome.kept.iter().find(|kept| kept.entry == number);
            let is_lost = !entry.request.is_flush()
                && kept.is_none()
                && number >= outcome.before
                && entry.answered > outcome.epoch;
            all_there &= !is_lost && kept.is_none_or(|kept| kept.sectors.is_none());
            let fate = match kept {
                Some(kept) if kept.sectors.is_some() => "   <- torn in the cut",
                _ if is_lost => "   <- not flushed, lost in the cut",
                _ => "",
            };
            let failed = if entry.failed { ", failed" } else { "" };
            let what = match entry.request.range() {
                None => "flush".to_owned(),
                Some((offset, bytes)) => format!("write {bytes} bytes at {offset}"),
            };
            line(format!("    {:>5}  {what}{failed}{fate}", entry.answered));
            let named = contents.named(&entry.request);
            if !named.is_empty() {
                line(format!("           {named}"));
            }
            // What was announced between this answer and the next.
            let next = entries.get(number + 1).filter(|_| number + 1 < done);
            let until = next.map_or(self.index + 1, |next| next.answered);
            let meanwhile = |clock: u64| (entry.answered..until).contains(&clock);
            for (_, event) in self
                .announced
                .0
                .iter()
                .filter(|(clock, _)| meanwhile(*clock))
            {
                if let Some(outcome) = event.outcome_in_words(name) {
                    line(format!("           {outcome}"));
                }
            }
        }
        line(format!(
            "\nThe power is lost after request {}.\n",
            self.index
        ));
        if all_there {
            line(
                "Of these requests nothing is lost: what is missing had not reached the device at all.\n"
                    .into(),
            );
        }
        tale
    }
}
