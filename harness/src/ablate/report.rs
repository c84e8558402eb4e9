//! What an ablation has found: for people and for programs.

use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use serde_json::{Value, json};

use super::filter::Hits;
use super::site::SyncSite;
use crate::crash_kind::CrashKind;
use crate::finding::Finding;
use crate::sim::Profile;

const TABLE_COLUMNS: u16 = 140;

/// What came of leaving out each sync. Its Display is a table.
#[derive(Clone, Debug)]
pub struct AblationReport {
    /// Subject under test.
    pub subject: String,
    /// The seed.
    pub seed: u64,
    /// One for each site, in the order of files and lines.
    pub syncs: Vec<AblatedSync>,
    /// A promise that is broken with every sync in place: then none was left out.
    pub broken: Option<String>,
    /// Rounds of each crash kind with every sync in place.
    pub census_rounds: u64,
    /// All rounds.
    pub rounds: u64,
    /// Crash states that were recovered and checked.
    pub crash_states: u64,
    /// Wall time in seconds.
    pub elapsed_s: f64,
    /// It was stopped before its budget was spent.
    pub interrupted: bool,
}

/// A sync, and what came of leaving it out.
#[derive(Clone, Debug, Serialize)]
pub struct AblatedSync {
    /// Where it is asked for.
    #[serde(flatten)]
    pub site: SyncSite,
    /// How often, in the census.
    pub hits: Hits,
    /// Rounds without it; of a program under trace, recorded runs that came to it.
    pub rounds: u64,
    /// Crash states of these rounds; of a program under trace, only those that exist only without it.
    pub crash_states: u64,
    /// How many syncs were left out in them.
    pub left_out: u64,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: SyncOutcome,
    /// Of a program under trace: the same by the rules of each profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<ProfileTrial>,
    /// Why the store calls it redundant, if it does. Where it is noticed all the same, that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// What came of leaving out a sync of a program under trace, by the rules of one profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProfileTrial {
    /// The rules.
    pub profile: Profile,
    /// Different states that were met and exist only without the sync. All of them were examined, up to the
    /// first that broke a promise.
    pub states: u64,
    /// Different states of which it could not be decided whether they exist only without it. They do not
    /// count and were not examined.
    pub undecided: u64,
    /// The first promise that was broken.
    pub violation: Option<String>,
}

/// What came of leaving out a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum SyncOutcome {
    /// A promise was broken: it is needed.
    Noticed(Notice),
    /// No promise was broken, and nobody has said why.
    Missed,
    /// No promise was broken, and the store's author knows why:
    /// [`Simulated::redundant_sync`](crate::Simulated::redundant_sync).
    Redundant(#[serde(skip)] String),
    /// Of a program under trace: no state was met that exists only without it, so nothing is known of it.
    NotExercised,
    /// It was never left out: the time was over before. Or the ablation was interrupted before it was
    /// left out in enough rounds.
    Untried,
}

/// The first promise that was broken without a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// By which crash kind.
    pub crash: CrashKind,
    /// What was broken, in words.
    pub violation: String,
    /// Where the last crash came.
    pub crash_point: String,
}

impl Notice {
    pub(super) fn new(crash: CrashKind, finding: &Finding) -> Self {
        Self {
            crash,
            violation: finding.violation.to_string(),
            crash_point: finding.crash_point.clone(),
        }
    }
}

impl AblationReport {
    /// Every sync is noticed, or its redundancy is explained. Not if there was none.
    pub fn is_complete(&self) -> bool {
        self.broken.is_none() && !self.syncs.is_empty() && self.missed().next().is_none()
    }

    /// The syncs whose absence was not noticed and is not explained.
    pub fn missed(&self) -> impl Iterator<Item = &AblatedSync> {
        let is_missed = |sync: &&AblatedSync| {
            matches!(
                sync.outcome,
                SyncOutcome::Missed | SyncOutcome::NotExercised | SyncOutcome::Untried
            )
        };
        self.syncs.iter().filter(is_missed)
    }

    fn count(&self, of: fn(&SyncOutcome) -> bool) -> usize {
        self.syncs.iter().filter(|sync| of(&sync.outcome)).count()
    }

    /// The process's exit status: 2 if there was no sync to leave out, or not the time for all.
    pub(super) fn exit_status(&self) -> u8 {
        match (self.is_complete(), &self.broken) {
            (true, _) => 0,
            // What was not tried to its end is not missed.
            (false, None) if self.interrupted => 2,
            (false, None) if self.syncs.is_empty() => 2,
            _ => 1,
        }
    }

    fn is_traced(&self) -> bool {
        self.syncs.iter().any(|sync| sync.site.file().is_some())
    }

    /// What says where a sync is.
    fn place(&self) -> &'static str {
        if self.is_traced() {
            "of"
        } else {
            "asked for by"
        }
    }

    fn last_word(&self) -> String {
        if let Some(broken) = &self.broken {
            return format!(
                "A promise is broken with every sync in place, so none was left out: {broken}"
            );
        }
        let untried = self.count(|outcome| *outcome == SyncOutcome::Untried);
        let missed = self.count(|outcome| *outcome == SyncOutcome::Missed);
        let idle = self.count(|outcome| *outcome == SyncOutcome::NotExercised);
        let of = self.syncs.len();
        if of == 0 {
            return "Nothing was shown: no sync was met.".to_owned();
        }
        let mut parts = Vec::new();
        if missed > 0 {
            parts.push(format!("{missed} OF {of} SYNCS ARE MISSED"));
        }
        if idle > 0 {
            parts.push(format!("{idle} of {of} were not exercised"));
        }
        if untried > 0 {
            parts.push(format!("{untried} of {of} were not tried"));
        }
        if parts.is_empty() {
            return "Every sync is noticed or explained.".to_owned();
        }
        format!("{}.", parts.join(", "))
    }

    /// A line for each site, then the summary.
    pub(super) fn print_json(&self) {
        for sync in &self.syncs {
            let mut line = serde_json::to_value(sync).unwrap_or(Value::Null);
            line["subject"] = json!(self.subject);
            line["seed"] = json!(self.seed);
            line["site"] = json!(sync.site.to_string());
            println!("{line}");
        }
        let summary = json!({ "summary": {
            "subject": self.subject,
            "seed": self.seed,
            "sites": self.syncs.len(),
            "noticed": self.count(|outcome| matches!(outcome, SyncOutcome::Noticed(_))),
            "redundant": self.count(|outcome| matches!(outcome, SyncOutcome::Redundant(_))),
            "missed": self.count(|outcome| *outcome == SyncOutcome::Missed),
            "not_exercised": self.count(|outcome| *outcome == SyncOutcome::NotExercised),
            "untried": self.count(|outcome| *outcome == SyncOutcome::Untried),
            "broken": self.broken,
            "census_rounds": self.census_rounds,
            "rounds": self.rounds,
            "crash_states": self.crash_states,
            "elapsed_s": self.elapsed_s,
            "interrupted": self.interrupted,
        }});
        println!("{summary}");
    }
}

impl fmt::Display for AblationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(TABLE_COLUMNS)
            .set_header(["sync", self.place(), "hits", "left out"]);
        for sync in &self.syncs {
            let calls: Vec<String> = sync.site.calls().iter().map(ToString::to_string).collect();
            let Hits {
                writers,
                recoveries,
            } = sync.hits;
            let kind = sync.site.kind().to_string();
            table.add_row([
                sync.site.system_call().map_or(kind, str::to_owned),
                sync.site
                    .file()
                    .map_or_else(|| calls.join("\n< "), str::to_owned),
                format!("{writers} writing\n{recoveries} recovering"),
                sync.tell(),
            ]);
        }
        if !self.syncs.is_empty() {
            writeln!(f, "{table}")?;
        }
        let kind = if self.is_traced() {
            "power"
        } else {
            "each kind"
        };
        writeln!(
            f,
            "{}: {} rounds of {kind} with every sync in place; {} rounds, {} crash states in all.",
            self.subject, self.census_rounds, self.rounds, self.crash_states
        )?;
        if self.interrupted {
            writeln!(f, "Interrupted: this is what had been found so far.")?;
        }
        write!(f, "{} (seed {})", self.last_word(), self.seed)
    }
}

impl AblatedSync {
    /// By which profiles it is noticed, and by which it is not, each with its states.
    fn tell_profiles(&self, noticed: bool) -> String {
        let of = |trial: &&ProfileTrial| trial.violation.is_some() == noticed;
        let told = self.profiles.iter().filter(of).map(|trial| {
            let ProfileTrial {
                profile,
                states,
                undecided,
                ..
            } = trial;
            match undecided {
                0 => format!("{profile} {states}"),
                undecided => format!("{profile} {states} and {undecided} undecided"),
            }
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Of a program under trace.
    fn tell_traced(&self) -> String {
        let Self {
            hits,
            rounds,
            crash_states,
            ..
        } = self;
        let calls = (hits.writers + hits.recoveries).div_ceil((*rounds).max(1));
        let (noticed, others) = (self.tell_profiles(true), self.tell_profiles(false));
        match &self.outcome {
            SyncOutcome::Noticed(notice) => {
                let others = match others.as_str() {
                    "" => String::new(),
                    others => format!("\nnot noticed by: {others}"),
                };
                format!(
                    "needed. {}\nnoticed by, after states: {noticed}{others}",
                    ends_of(&notice.violation)
                )
            }
            SyncOutcome::NotExercised => format!(
                "NOT EXERCISED: removing it ({calls} calls a run) made no state that exists only without \
                 it ({others})"
            ),
            _ => format!(
                "MISSED: removing it ({calls} calls a run) broke nothing in {crash_states} states that \
                 exist only without it ({others})"
            ),
        }
    }

    fn tell(&self) -> String {
        if !self.profiles.is_empty() {
            return self.tell_traced();
        }
        let Self {
            rounds,
            crash_states,
            left_out,
            ..
        } = self;
        match &self.outcome {
            SyncOutcome::Noticed(Notice {
                crash, violation, ..
            }) => {
                let wrong = match &self.explanation {
                    Some(why) => format!("\nthough it is called redundant: {why}"),
                    None => String::new(),
                };
                format!("noticed by {crash} after {crash_states} states: {violation}{wrong}")
            }
            SyncOutcome::Missed => format!(
                "MISSED in {crash_states} states of {rounds} rounds, {left_out} syncs left out"
            ),
            SyncOutcome::Redundant(why) => format!("redundant: {why}"),
            SyncOutcome::NotExercised => "not exercised".to_owned(),
            SyncOutcome::Untried => "not tried".to_owned(),
        }
    }
}

/// The first and the last line: in between, there may be all that a checker has printed.
fn ends_of(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    match lines.rfind(|line| !line.is_empty()) {
        Some(last) => format!("{first} … {last}"),
        None => first.to_owned(),
    }
}
