//! `ablate` on the command line.

use std::io;
use std::time::Duration;

use clap::Args;

use super::progress::Progress;
use super::report::AblationReport;
use super::{study, traced};
use crate::hang::OnHang;
use crate::ignored::Ignored;
use crate::plan::{Budget, Plan};
use crate::quantity::{parse_duration, parse_limit};
use crate::recorder::RecorderKind;
use crate::sim::Profile;
use crate::stop::Stop;
use crate::store::Tested;

/// For the command's help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  ablate STORE                             a minute of it
  ablate STORE --rounds 20 --seed 1        the same seed gives the same report
  ablate STORE --profile ext4-ordered      which syncs does this file system need?
  ablate --cmd './writer {dir}' --check './checker {dir}'
                                           any program: its runs are recorded, and looked at without them

The table, one row a site:
  hits        how often it was asked for with every sync in place, by writers and by recoveries
  left out    what came of it: the first promise that was broken, MISSED, or why it is redundant; of a
              program under trace also NOT EXERCISED: no crash state exists only without it

What is missed is either redundant or beyond what the tester can see. See docs/ablation.md.";

#[derive(Debug, Args)]
pub(crate) struct AblateArgs {
    /// The subject. See `list`.
    #[arg(required_unless_present = "cmd")]
    pub(crate) subject: Option<String>,
    /// Instead of a subject, a program of yours in any language: the command that writes until it is
    /// killed. `{dir}` stands for the store's directory. See docs/black-box.md.
    #[arg(long, requires = "check", conflicts_with_all = ["subject", "engine"])]
    pub(crate) cmd: Option<String>,
    /// With --cmd: the command that prints what survived.
    #[arg(long, requires = "cmd")]
    pub(crate) check: Option<String>,
    /// With --cmd: the store's directory belongs to this user, as with `run`.
    #[arg(long, value_name = "USER", requires = "cmd")]
    pub(crate) owner: Option<String>,
    /// What records the runs: seam for a store that has one, if not given; else trace, or mount, for any
    /// program as it is.
    #[arg(long)]
    recorder: Option<RecorderKind>,
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
    /// Under trace: a recovery or a writer that does not get on within this time hangs.
    #[arg(long, value_parser = parse_limit, default_value = "30s")]
    hang_limit: Duration,
    /// Under trace: files in the store's directory that differ from run to run, as a pattern. Repeatable.
    #[arg(long, value_name = "GLOB")]
    ignore: Vec<Ignored>,
    /// Sites tried at the same time; as many as there are cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print one JSON object a line: a site each, then the summary.
    #[arg(long)]
    json: bool,
}

/// Runs it and prints the report. Returns the exit status.
pub(crate) fn run(
    tested: Tested<'_>,
    args: AblateArgs,
    drawn_seed: u32,
    stop: &Stop,
    on_hang: &OnHang,
) -> Result<u8, String> {
    let known = tested.engines();
    if let Some(engine) = args
        .engine
        .iter()
        .find(|engine| !known.contains(&engine.as_str()))
    {
        return Err(format!(
            "engine '{engine}' is not one of {}'s; see `list`",
            tested.name()
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
        recorder: args.recorder,
        hang_limit: args.hang_limit,
        ignored: args.ignore,
        ..Plan::default()
    }
    .stopped_by(stop);
    let progress = if args.json {
        Progress::silent()
    } else {
        Progress::default()
    };
    let report = ablate(tested, &plan, &progress, on_hang)
        .map_err(|error| format!("cannot ablate {}: {error}", tested.name()))?;
    if args.json {
        report.print_json();
    } else {
        println!("{report}");
    }
    Ok(report.exit_status())
}

/// By the seam where there is one, else under trace.
pub(super) fn ablate(
    tested: Tested<'_>,
    plan: &Plan,
    progress: &Progress,
    on_hang: &OnHang,
) -> io::Result<AblationReport> {
    match (tested, plan.recorder) {
        (Tested::Subject(subject), None) if subject.simulated().is_some() => {
            study::run(subject, plan, progress, on_hang)
        }
        (Tested::Subject(subject), Some(RecorderKind::Seam)) => {
            study::run(subject, plan, progress, on_hang)
        }
        (Tested::Command(_), Some(RecorderKind::Seam)) => {
            let why = "a program has no seam: leave out `--recorder seam`, and its runs are traced";
            Err(io::Error::other(why))
        }
        _ => traced::run(tested, plan, progress, on_hang),
    }
}
