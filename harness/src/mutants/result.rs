//! What came of the mutants: cells of a matrix, and what all of them say together.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::patch::Claim;

/// The name of the row without a mutant.
pub(super) const CONTROL: &str = "unchanged";

/// What a catcher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// A promise was broken, and it noticed.
    Caught,
    /// It looked and noticed nothing.
    Missed,
    /// It did not get far enough to say anything.
    NothingShown,
    /// It cannot run here.
    Unavailable,
    /// It did not come to an end, and did not say why.
    TimedOut,
    /// It failed in a way that says nothing about the mutant.
    Broke,
}

/// What a mutant's header says of a catcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Expected {
    /// It must catch it.
    Catch,
    /// It cannot, and the header says why.
    Miss,
    /// Nothing.
    Open,
}

/// One mutant under one catcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// The mutant's name; `unchanged` for the tree as it is.
    pub(super) mutant: String,
    /// The catcher's name.
    pub(super) catcher: String,
    /// What it was asked to look at, if not what it looks at by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) argument: Option<String>,
    /// What the mutant's header says.
    pub(super) expected: Expected,
    /// What came of it.
    pub(super) verdict: Verdict,
    /// Crash states that it had looked at by then, if it counts any.
    pub(super) states: Option<u64>,
    /// How long it looked, its build not counted.
    pub(super) elapsed_s: f64,
    /// How long it would have looked.
    pub(super) budget_s: u64,
    /// What it saw, or why it could not look.
    pub(super) detail: String,
    /// The state of the source, mutant included.
    pub(super) tree: String,
}

impl Cell {
    pub(super) fn is_for(&self, mutant: &str, claim: &Claim) -> bool {
        self.mutant == mutant && self.catcher == claim.catcher && self.argument == claim.argument
    }

    /// Whether it contradicts the header, or the tree as it is was caught.
    pub(super) fn is_wrong(&self) -> bool {
        match self.expected {
            Expected::Catch => !matches!(self.verdict, Verdict::Caught | Verdict::Unavailable),
            Expected::Miss if self.mutant == CONTROL => {
                !matches!(self.verdict, Verdict::Missed | Verdict::Unavailable)
            }
            Expected::Miss | Expected::Open => false,
        }
    }

    /// In few words for a table.
    pub(super) fn shown(&self) -> String {
        let time = format!("{:.1} s", self.elapsed_s);
        let states = self.states.map(|states| format!("{}, ", thousands(states)));
        let caught = format!("{}{time}", states.unwrap_or_default());
        let on = self.argument.as_deref().map(|it| format!(" ({it})"));
        let on = on.unwrap_or_default();
        match (self.verdict, self.expected) {
            (Verdict::Caught, Expected::Miss) => format!("CAUGHT{on} {caught}"),
            (Verdict::Caught, _) => format!("{caught}{on}"),
            (Verdict::Missed, Expected::Catch) => format!("MISSED{on}"),
            (Verdict::Missed, _) => "-".to_owned(),
            (Verdict::NothingShown, _) => format!("nothing shown{on}"),
            (Verdict::Unavailable, _) => "unavailable".to_owned(),
            (Verdict::TimedOut, _) => format!("no end{on}"),
            (Verdict::Broke, _) => format!("broke{on}"),
        }
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A mutant that could not be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Invalid {
    /// Its name.
    pub(super) mutant: String,
    /// It does not apply, or does not compile.
    pub(super) why: String,
}

/// All that came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// In the order of mutants and catchers.
    pub(super) cells: Vec<Cell>,
    /// Mutants that could not be tried.
    pub(super) invalid: Vec<Invalid>,
    /// Ctrl-C came before the end.
    pub(super) interrupted: bool,
    /// Wall time.
    pub(super) elapsed: Duration,
}

impl Outcome {
    /// What contradicts the headers.
    pub(super) fn wrong(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.is_wrong())
    }

    /// Seconds to the first catch of each mutant, shortest first.
    fn times_to_catch(&self) -> Vec<f64> {
        let mut times: Vec<(&str, f64)> = Vec::new();
        for cell in self
            .cells
            .iter()
            .filter(|cell| cell.mutant != CONTROL && cell.verdict == Verdict::Caught)
        {
            match times.iter_mut().find(|(mutant, _)| *mutant == cell.mutant) {
                Some((_, best)) => *best = best.min(cell.elapsed_s),
                None => times.push((&cell.mutant, cell.elapsed_s)),
            }
        }
        let mut times: Vec<f64> = times.into_iter().map(|(_, time)| time).collect();
        times.sort_unstable_by(f64::total_cmp);
        times
    }

    pub(super) fn median_and_worst(&self) -> Option<(f64, f64)> {
        let times = self.times_to_catch();
        Some((*times.get(times.len() / 2)?, *times.last()?))
    }

    /// Mutants of which nobody who was to catch them could be asked here.
    pub(super) fn unavailable(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for cell in &self.cells {
            let same = || {
                self.cells
                    .iter()
                    .filter(|other| other.mutant == cell.mutant)
            };
            if cell.mutant != CONTROL
                && cell.verdict == Verdict::Unavailable
                && !same().any(|other| other.verdict == Verdict::Caught)
                && !names.contains(&cell.mutant.as_str())
            {
                names.push(&cell.mutant);
            }
        }
        names
    }

    /// 0 all that must catch have caught, 1 one has missed, 2 something could not be tried.
    pub(super) fn exit_status(&self) -> u8 {
        let nothing = self.cells.iter().all(|cell| cell.mutant == CONTROL);
        if !self.invalid.is_empty() {
            2
        } else if self.wrong().next().is_some() {
            1
        } else if self.interrupted || nothing {
            2
        } else {
            0
        }
    }

    pub(super) fn summary(&self) -> serde_json::Value {
        let times = self.times_to_catch();
        let (median, worst) = self.median_and_worst().unzip();
        let mut names: Vec<&str> = self.cells.iter().map(|cell| cell.mutant.as_str()).collect();
        names.retain(|name| *name != CONTROL);
        names.dedup();
        let unexpected = self.cells.iter().filter(|cell| {
            cell.mutant != CONTROL
                && cell.expected == Expected::Miss
                && cell.verdict == Verdict::Caught
        });
        json!({ "summary": {
            "mutants": names.len(),
            "caught": times.len(),
            "wrong": self.wrong().map(|cell| format!("{} {}", cell.mutant, cell.catcher)).collect::<Vec<_>>(),
            "unexpectedly_caught": unexpected.count(),
            "unavailable": self.unavailable(),
            "invalid": self.invalid,
            "catch_s_median": median,
            "catch_s_worst": worst,
            "elapsed_s": self.elapsed.as_secs_f64(),
            "interrupted": self.interrupted,
        }})
    }
}
