//! `ablate` on the command line.

use std::time::Duration;

use clap::Args;

use super::report::Progress;
use super::study;
use crate::hang::OnHang;
use crate::plan::{Budget, Plan};
use crate::quantity::parse_duration;
use crate::sim::Profile;
use crate::stop::Stop;
use crate::subject::Subject;

/// For the command's help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  ablate STORE                             a minute of it
  ablate STORE --rounds 20 --seed 1        the same seed gives the same report
  ablate STORE --profile ext4-ordered      which syncs does this file system need?

The table, one row a site:
  hits        how often it was asked for with every sync in place, by writers and by recoveries
  left out    what came of it: the first promise that was broken, MISSED, or why it is redundant

What is missed is either redundant or beyond what the tester can see. See docs/ablation.md.";

#[derive(Debug, Args)]
pub(crate) struct AblateArgs {
    /// The subject. See `list`.
    pub(crate) subject: String,
    /// Stop after so long, all sites together, as 30s, 10m or 2h.
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    duration: Duration,
    /// Instead: so many rounds of each crash kind with every sync in place, and at most as many
    /// without each.
    #[arg(long, conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// Everything random derives from it; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The rules by which things are lost, separated by commas; all if not given. strict,
    /// ext4-ordered, xfs, btrfs, synced-only or everything.
    #[arg(long, value_delimiter = ',')]
    profile: Vec<Profile>,
    /// Engines, separated by commas; all of the subject if not given.
    #[arg(long, value_delimiter = ',')]
    engine: Vec<String>,
    /// Sites tried at the same time; as many as there are cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print one JSON object a line: a site each, then the summary.
    #[arg(long)]
    json: bool,
}

/// Runs it and prints the report. Returns the exit status.
pub(crate) fn run(
    subject: &dyn Subject,
    args: AblateArgs,
    drawn_seed: u32,
    stop: &Stop,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let known = subject.engines();
    if let Some(engine) = args
        .engine
        .iter()
        .find(|engine| !known.contains(&engine.as_str()))
    {
        return Err(format!(
            "engine '{engine}' is not one of {}'s; see `list`",
            subject.name()
        ));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        budget: match args.rounds {
            Some(rounds) => Budget::Rounds(rounds),
            None => Budget::Duration(args.duration),
        },
        seed: args.seed.unwrap_or_else(|| u64::from(drawn_seed)),
        jobs: args.jobs.unwrap_or(cores).max(1),
        engines: args.engine,
        profiles: args.profile,
        ..Plan::default()
    }
    .stopped_by(stop);
    let progress = if args.json {
        Progress::silent()
    } else {
        Progress::default()
    };
    let report = study::run(subject, &plan, &progress, on_hang)
        .map_err(|error| format!("cannot ablate {}: {error}", subject.name()))?;
    if args.json {
        report.print_json();
    } else {
        println!("{report}");
    }
    Ok(report.exit_status())
}
