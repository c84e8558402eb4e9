//! `mutants` on the command line.

use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command};
use indicatif::{ProgressBar, ProgressStyle};

use super::matrix;
use super::patch::{Claim, Mutant, pick};
use super::result::{Cell, Invalid, Outcome};
use super::run::{self, Observer, Plan};
use super::suite::Mutants;
use crate::quantity::parse_duration;
use crate::stop::Stop;

/// The command's name.
pub(crate) const NAME: &str = "mutants";

const ABOUT: &str = "Put each known bug back into the store, and see who catches it.

Each patch is applied to a copy of the working tree, built, and given to those that its header names, \
until one of them has caught it. The tree as it is goes the same way first: no catcher may catch that.

Exit status: 0 each catcher that must catch a mutant has caught it, 1 one has missed it or has \
caught the tree as it is, 2 wrong usage, or a patch that does not apply or compile, 130 or 143 a run \
that Ctrl-C or SIGTERM ended.";

const EXAMPLES: &str = "\
Examples:
  mutants                                    every mutant, by those that its header names
  mutants --only 7,20-29,torn-tail           some of them
  mutants --all --json > RESULTS             everybody looks at each: the whole matrix
  mutants --all --known RESULTS --markdown docs/kill-matrix.md
                                             the same as a page; what is known is not run again
  mutants --check                            patches apply and headers are well-formed: no build

The matrix:
  2,120, 0.4 s     caught after so many crash states, in so long
  -                missed, and nobody said it would be caught
  MISSED           must have been caught
  CAUGHT           its header says that this catcher cannot see it: mend the header
  ·                not tried";

#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Args)]
pub(crate) struct MutantsArgs {
    /// These mutants, separated by commas: numbers, ranges as 1-10, or names. All if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// These catchers, separated by commas. All if not given.
    #[arg(long, value_delimiter = ',')]
    by: Vec<String>,
    /// Every catcher looks at every mutant, also after one has caught it.
    #[arg(long)]
    all: bool,
    /// How long each crash kind looks, as 10s or 2m. If not given, each as long as it usually needs.
    #[arg(long, value_parser = parse_duration)]
    budget: Option<Duration>,
    /// Mutants tried at the same time; as many as there are cores if not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// What an earlier run printed with --json: answers about the same source and patch are taken
    /// from there.
    #[arg(long)]
    known: Vec<PathBuf>,
    /// Print one JSON object a line: an answer each, then the summary.
    #[arg(long)]
    json: bool,
    /// Write the matrix into a file, too.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// List the mutants and those who catch them; do nothing.
    #[arg(long, conflicts_with_all = ["check", "all", "markdown"])]
    list: bool,
    /// Only see whether all patches apply and all headers are well-formed.
    #[arg(long, conflicts_with_all = ["all", "markdown"])]
    check: bool,
}

/// For a command line that has mutants.
pub(crate) fn command() -> Command {
    let (short, _) = ABOUT.split_once('\n').expect("it is long");
    MutantsArgs::augment_args(Command::new(NAME))
        .about(short)
        .long_about(ABOUT)
        .after_help(EXAMPLES)
}

/// Does what the arguments say. Returns the exit status.
pub(crate) fn run(suite: &Mutants, args: MutantsArgs, stop: &Stop) -> Result<u8, String> {
    let mutants = pick(
        Mutant::load_all(&suite.tree.join(&suite.patches))?,
        &args.only,
    )?;
    if let Some(name) = args
        .by
        .iter()
        .find(|name| suite.catcher_named(name).is_none())
    {
        return Err(format!(
            "unknown catcher '{name}'; known are: {}",
            suite.names()
        ));
    }
    if args.list {
        list(suite, &mutants, args.json);
        return Ok(0);
    }
    run::check(suite, &mutants)?;
    if args.check {
        println!(
            "{} mutants apply, and their headers are well-formed.",
            mutants.len()
        );
        return Ok(0);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        mutants,
        all: args.all,
        by: args.by,
        budget: args.budget,
        jobs: args.jobs.map_or(cores, usize::from),
        known: read_known(&args.known)?,
    };
    let progress = Progress::new(args.json, plan.mutants.len());
    let outcome = run::run(suite, &plan, stop, &progress)?;
    progress.end();
    if args.json {
        println!("{}", outcome.summary());
    } else {
        tell(suite, &outcome);
    }
    if let Some(path) = &args.markdown {
        let words = if args.all { " --all" } else { "" };
        let command = format!("{}{words} --markdown {}", suite.called, path.display());
        let page = matrix::markdown(suite, &plan.mutants, &outcome, &command);
        fs::write(path, page)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(outcome.exit_status())
}

fn read_known(paths: &[PathBuf]) -> Result<Vec<Cell>, String> {
    let mut known = Vec::new();
    for path in paths {
        let at = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| at(&error))?;
        let cells = text
            .lines()
            .filter(|line| !line.starts_with(r#"{"summary""#));
        for line in cells {
            known.push(serde_json::from_str(line).map_err(|error| at(&error))?);
        }
    }
    Ok(known)
}

fn list(suite: &Mutants, mutants: &[Mutant], json: bool) {
    if !json {
        println!("Catchers:");
        for catcher in &suite.catchers {
            println!("  {}  {}", catcher.name, catcher.sees);
        }
        println!("Mutants:");
    }
    for mutant in mutants {
        let claims: Vec<String> = mutant.caught_by.iter().map(Claim::to_string).collect();
        if json {
            let line = serde_json::json!({
                "mutant": mutant.name,
                "title": mutant.title,
                "hazards": mutant.hazards,
                "caught_by": claims,
            });
            println!("{line}");
        } else {
            println!(
                "  {}  {} ({})",
                mutant.name,
                mutant.title,
                claims.join(", ")
            );
        }
    }
}

/// The matrix and the last word.
fn tell(suite: &Mutants, outcome: &Outcome) {
    println!("{}", matrix::table(suite, outcome));
    for cell in outcome.wrong() {
        let detail = match cell.detail.as_str() {
            "" => String::new(),
            detail => format!(": {detail}"),
        };
        println!(
            "{} under {}: {}{detail}",
            cell.mutant,
            cell.catcher,
            cell.shown()
        );
    }
    for Invalid { mutant, why } in &outcome.invalid {
        println!("{mutant}: {why}");
    }
    for mutant in outcome.unavailable() {
        println!("{mutant}: whoever catches it cannot run here.");
    }
    if outcome.interrupted {
        println!("Interrupted: this is what had been found so far.");
    }
    if let Some((median, worst)) = outcome.median_and_worst() {
        println!("Time to the first catch: median {median:.1} s, worst {worst:.1} s.");
    }
    let told = match outcome.exit_status() {
        0 => "Each catcher that must catch a mutant has caught it.",
        1 => "SOMEBODY HAS MISSED WHAT HE MUST CATCH, OR HAS CAUGHT WHAT IS NO BUG.",
        _ => "Not everything could be tried.",
    };
    println!("{told}");
}

/// Each answer as it comes: for programs a line of JSON; for people a line on standard error, below
/// it a bar if that is a terminal.
struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(json: bool, mutants: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(mutants as u64);
            let style = ProgressStyle::with_template("mutants {wide_bar} {pos}/{len} {msg}");
            bar.with_style(style.expect("the template is well-formed"))
        });
        Self { json, bar }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn begin(&self, mutant: &str, claim: &Claim) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{mutant} under {claim}"));
        }
    }

    fn cell(&self, cell: &Cell) {
        if self.json {
            println!(
                "{}",
                serde_json::to_string(cell).expect("a cell has no odd keys")
            );
        }
        let detail = cell.detail.lines().next().unwrap_or("");
        let told = format!(
            "{}  {}: {}  {detail}",
            cell.mutant,
            cell.catcher,
            cell.shown()
        );
        self.line(told.trim_end());
    }

    fn row_done(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn invalid(&self, invalid: &Invalid) {
        self.line(&format!("{}: {}", invalid.mutant, invalid.why));
    }
}
