//! What a failure keeps of the commands and of what they said.

use std::fmt::Write;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::black_box::BlackBox;
use super::given::Given;
use super::protocol::Names;
use crate::finding::Finding;
use crate::history::Event;
use crate::owner::Owner;

/// The last words that a story quotes.
const LINES_TOLD: usize = 12;

/// What a failure keeps of the commands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) store: BlackBox,
    /// `PLUGPULL_GENERATION` and `PLUGPULL_SEED` of the failed generation.
    pub(super) generation: u32,
    pub(super) writer_seed: u64,
    /// What the failed generation had said by then.
    said: Vec<String>,
}

impl Record {
    pub(super) fn new(
        store: &BlackBox,
        generation: u32,
        writer_seed: u64,
        events: &[Event],
        names: &Names,
    ) -> Self {
        Self {
            store: store.clone(),
            generation,
            writer_seed,
            said: events.iter().map(|event| names.line(event)).collect(),
        }
    }

    /// What the commands are, and whose directory is theirs, a line each.
    pub(super) fn about(&self) -> Vec<String> {
        let owner = self.store.owner.as_ref().map(Owner::name);
        let facts = [
            ("setup", self.store.setup.as_deref()),
            ("writer", Some(&*self.store.cmd)),
            ("checker", Some(&*self.store.check)),
            ("owner of the directory", owner),
        ];
        let told = |(what, fact): (_, Option<&str>)| Some(format!("{what}: `{}`", fact?));
        facts.into_iter().filter_map(told).collect()
    }

    /// How far the generation had come.
    pub(super) fn progress(&self) -> String {
        let count = |word: &str| {
            let lines = self.said.iter();
            lines.filter(|line| line.starts_with(word)).count()
        };
        format!(
            "generation {generation} of its directory (PLUGPULL_GENERATION={generation} \
             PLUGPULL_SEED={seed}): {tried} attempts, {acked} acknowledged",
            generation = self.generation,
            seed = self.writer_seed,
            tried = count("attempt "),
            acked = count("ack "),
        )
    }

    /// What to look at, and what the writer said last.
    pub(super) fn story(&self) -> String {
        let first = self.said.len().saturating_sub(LINES_TOLD);
        let mut last = String::new();
        for line in &self.said[first..] {
            writeln!(last, "    {line}").expect("a string takes everything");
        }
        if last.is_empty() {
            last.push_str("    (it had said nothing)\n");
        }
        format!(
            "`image/` is the store as the crash left it, before a checker touched it. Look at it with \
             the checker (it may change what it looks at: take a copy):\n\n    \
             cp -a image copy && {look}\n\n\
             The commands run where the torture was started. The writer's last words before the \
             crash, of {lines} lines:\n\n{last}\n\
             What had been announced and what earlier recoveries had shown is in `failure.json`.\n",
            look = Given::by_hand().command(&self.store.check, Path::new("copy")),
            lines = self.said.len(),
        )
    }
}

/// What a failure keeps of its commands, if it is one of commands.
pub(super) fn record_of(finding: &Finding) -> io::Result<Option<Record>> {
    Ok(serde_json::from_value(finding.store.clone())?)
}

/// The commands of a failure, if it is one of commands.
pub(crate) fn commands_of(finding: &Finding) -> io::Result<Option<BlackBox>> {
    Ok(record_of(finding)?.map(|record| record.store))
}
