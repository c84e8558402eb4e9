//! A torture binary in three lines.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use rand_chacha::rand_core::Rng;

use crate::ablate::{self, AblateArgs};
use crate::blackbox::{self, BlackBox, DiskStore};
use crate::campaign::{self, Observer};
use crate::child;
use crate::crash::{CrashKind, disk, kill, simulated};
use crate::disk::FileSystemKind;
use crate::doctor;
use crate::finding::Finding;
use crate::litmus::{self, LitmusArgs};
use crate::mutants::{self, Mutants, MutantsArgs};
use crate::oracle::Violation;
use crate::plan::{Budget, DiskOptions, Plan};
use crate::report::{Closing, Json, Merged, Row, Terminal, Verdict};
use crate::scratch::Scratch;
use crate::shard::Shard;
use crate::shrink::{self, Shrunk};
use crate::sim::Profile;
use crate::subject::Subject;

const EXIT_USAGE: u8 = 2;
/// What a torture binary is called where its own name cannot be told.
const NAME: &str = "torture";
const DEFAULT_DURATION: Duration = Duration::from_secs(30);

/// Kills writers of a store at random instants and checks what recovery brings back against what
/// had been acknowledged.
///
/// Without a command: 30 seconds of everything that this machine can do.
///
/// Exit status: 0 no promise was broken, 1 one was, 2 wrong usage, an environment that cannot do
/// it, or a torture that showed nothing.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Torture subjects: let them write, crash them, recover, and compare.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Check a saved failure again: recovers a copy of its crash image and asks the oracle.
    Replay {
        /// The failure's folder.
        failure: PathBuf,
    },
    /// Find the smallest version of a saved failure, and print it as a test; of one of `disk`, the
    /// fewest lost writes that do it. A failure of `kill` cannot be shrunk.
    Shrink {
        /// The failure's folder.
        failure: PathBuf,
        /// Stop after so long, as 30s or 2m, with the smallest found by then.
        #[arg(long, value_parser = parse_duration, default_value = "60s")]
        duration: Duration,
        /// Where the smallest version is saved.
        #[arg(long, default_value = "target/plugpull")]
        out: PathBuf,
    },
    /// Leave out each sync of a subject in turn, and report which of them nobody misses.
    ///
    /// Exit status: 0 each sync was noticed or its redundancy is explained, 1 one was missed, 2 wrong
    /// usage, or no sync was met.
    #[command(after_help = ablate::EXAMPLES)]
    Ablate(AblateArgs),
    /// Set what real file systems keep when the power goes beside what the profiles allow.
    ///
    /// Exit status: 0 each profile allows all that was seen, 1 one allows less than reality, 2 wrong
    /// usage, or no file system to look at.
    #[command(after_help = litmus::EXAMPLES)]
    Litmus(LitmusArgs),
    /// Make one report of those of all shards of a torture.
    ///
    /// Exit status: as if one process had done all of it; 2 also if a shard is missing, was
    /// interrupted, or lacks a crash kind that another one had.
    #[command(after_help = MERGE_EXAMPLES)]
    Merge {
        /// What `run --shard I/N --json` printed: a file for each shard.
        #[arg(required = true)]
        reports: Vec<PathBuf>,
        /// Print one JSON object a line: a row each, then the summary.
        #[arg(long)]
        json: bool,
    },
    /// List subjects and crash kinds.
    List,
    /// Tell what works on this machine, what is missing, and how to get it.
    ///
    /// Every crash kind is tried in small. Exit status: 0 all of them run here, 2 otherwise.
    Doctor,
    /// Print a completion script for a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: CompletionShell,
    },
}

/// A shell that can complete our command lines.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples, for a binary called `torture` that is in the PATH:
  bash:  torture completions bash > ~/.local/share/bash-completion/completions/torture
  zsh:   torture completions zsh > ~/.zfunc/_torture     (with ~/.zfunc in fpath)
  fish:  torture completions fish > ~/.config/fish/completions/torture.fish";

const MERGE_EXAMPLES: &str = "\
Example, three processes on one machine or on three:
  run --crash power,fault --rounds 3000 --seed 1 --shard 1/3 --json > 1.jsonl
  run --crash power,fault --rounds 3000 --seed 1 --shard 2/3 --json > 2.jsonl
  run --crash power,fault --rounds 3000 --seed 1 --shard 3/3 --json > 3.jsonl
  merge 1.jsonl 2.jsonl 3.jsonl";

const RUN_EXAMPLES: &str = "\
Examples:
  run                                     everything that needs no root, for 30 seconds
  run STORE --rounds 500 --seed 1         one subject; the same seed draws the same plan again
  run --crash syscall --duration 10m      every system call's crash states, for ten minutes
  run --crash kill --dir /mnt/disk        on a file system of your choice
  run --crash disk --fs ext4,xfs,btrfs    power cuts on the real thing: needs root, FUSE, loop devices
  run STORE --keep-going                  what else is broken: one failure of each class
  run --hang-limit 5s                     for a store that recovers fast, or should
  run --json | jq -s '.[-1].summary'      for a script; the exit status says it, too

The table, one row a subject and crash kind:
  states      crash states that were recovered and checked
  mid-work    rounds in which the crash came while appends were in progress
  acked       acknowledged appends: each of them must survive
  verdict     pass, VIOLATIONS, nothing shown (no pass!), or unavailable on this machine: ask `doctor`

A failure is a folder below --out. Its README.md tells what happened; `replay` checks its crash image
again, `shrink` looks for the smallest version.";

#[derive(Debug, Args)]
struct RunArgs {
    /// Subjects; all but exhibits if none is named. See `list`.
    subjects: Vec<String>,
    /// Crash kinds, separated by commas; all but disk if not given.
    #[arg(long, value_delimiter = ',')]
    crash: Vec<CrashKind>,
    /// The first subject on disk, too.
    #[arg(long, hide = true)]
    with_disk: bool,
    /// For disk: real file systems, separated by commas; all that there are if not given. ext4, xfs or
    /// btrfs.
    #[arg(long, value_delimiter = ',')]
    fs: Vec<FileSystemKind>,
    /// For disk: the disk's size, as 64M or 1G, instead of the smallest that makes sense.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    disk_size: Option<u64>,
    /// For disk: what `mkfs` is told beside the usual, as `-O ^has_journal`. Goes to every --fs.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    mkfs_options: Option<String>,
    /// For disk: what `mount -o` is told beside the usual, as data=journal or nobarrier. Goes to every
    /// --fs.
    #[arg(long, value_name = "OPTIONS")]
    mount_options: Option<String>,
    /// For power, fault and rot: the rules by which things are lost, separated by commas; all if not
    /// given. strict, ext4-ordered, xfs, btrfs, synced-only or everything.
    #[arg(long, value_delimiter = ',')]
    profile: Vec<Profile>,
    /// Instead of subjects, a program of yours in any language: the command that writes until it is
    /// killed. `{dir}` stands for the store's directory. See docs/black-box.md.
    #[arg(long, requires = "check", conflicts_with_all = ["subjects", "engine"])]
    cmd: Option<String>,
    /// With --cmd: the command that prints what survived.
    #[arg(long, requires = "cmd")]
    check: Option<String>,
    /// Engines, separated by commas; all of each subject if not given.
    #[arg(long, value_delimiter = ',')]
    engine: Vec<String>,
    /// Stop a row after so many rounds.
    #[arg(long, conflicts_with = "duration")]
    rounds: Option<u64>,
    /// Stop after so long, all rows together, as 30s, 10m or 2h. Default: 30s.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Everything random derives from it; drawn and printed if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Directories tortured at the same time; as many as there are cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Where the tortured stores live. If not given: the system's temporary directory, for `syscall`
    /// memory (/dev/shm) where there is some.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where failures are saved.
    #[arg(long, default_value = "target/plugpull")]
    out: PathBuf,
    /// A recovery that does not end after so long hangs, and so does a writer under trace: a
    /// violation.
    #[arg(long, value_parser = parse_limit, default_value = "30s")]
    hang_limit: Duration,
    /// Do the rounds of one shard of several, as 2/4: for the same seed, all of them together do what
    /// one torture would. `merge` makes one report of theirs.
    #[arg(long, default_value_t = Shard::WHOLE, hide_default_value = true, requires = "seed")]
    shard: Shard,
    #[command(flatten)]
    patience: Patience,
    /// Print one JSON object a line: a row each, then the summary.
    #[arg(long)]
    json: bool,
}

/// What happens after a failure.
#[derive(Debug, Args)]
struct Patience {
    /// Go on after failures, to the end, and keep one of each class; if not given, a row stops after
    /// three.
    #[arg(long)]
    keep_going: bool,
    /// End all of it at the first failure, instead of a row at its third.
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no duration: write 30s, 10m or 2h");
    let (number, unit) = text.split_at(text.len().checked_sub(1).ok_or_else(bad)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(bad)
}

fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is no size: write 64M or 1G");
    let (number, unit) = text.split_at(text.len().checked_sub(1).ok_or_else(bad)?);
    let shift = match unit {
        "M" => 20,
        "G" => 30,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(bad)
}

fn parse_limit(text: &str) -> Result<Duration, String> {
    let limit = parse_duration(text)?;
    (!limit.is_zero())
        .then_some(limit)
        .ok_or_else(|| "everything takes longer than that".to_owned())
}

/// The whole of a torture binary's `main`.
///
/// It is also what the binary's own children run: the harness starts the binary again for every
/// process that is to be killed. Do nothing before you call it.
pub fn main(subjects: &[Box<dyn Subject>]) -> ExitCode {
    main_of(subjects, None)
}

/// [`main`] with the command `mutants`: these known bugs, put back.
pub fn main_with(subjects: &[Box<dyn Subject>], mutants: &Mutants) -> ExitCode {
    main_of(subjects, Some(mutants))
}

fn main_of(subjects: &[Box<dyn Subject>], mutants: Option<&Mutants>) -> ExitCode {
    let subjects: Vec<&dyn Subject> = subjects.iter().map(|subject| &**subject).collect();
    child::obey(&subjects);
    simulated::keep_panics_quiet();
    let mut line = Cli::command();
    line = line.subcommands(mutants.map(|_| mutants::command()));
    let matches = line.clone().get_matches();
    let status = match (mutants, matches.subcommand()) {
        (Some(suite), Some((mutants::NAME, matches))) => mutate(suite, matches),
        _ => Cli::from_arg_matches(&matches)
            .map_err(|error| error.to_string())
            .and_then(|cli| carry_out(&subjects, cli, line)),
    };
    ExitCode::from(status.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        EXIT_USAGE
    }))
}

fn mutate(suite: &Mutants, matches: &ArgMatches) -> Result<u8, String> {
    let args = MutantsArgs::from_arg_matches(matches).map_err(|error| error.to_string())?;
    mutants::run(suite, args, &*stop_on_signal()?)
}

fn carry_out(subjects: &[&dyn Subject], cli: Cli, line: clap::Command) -> Result<u8, String> {
    let everything = || Cli::parse_from([NAME, "run", "--with-disk"]).command;
    match cli.command.or_else(everything).expect("given or put there") {
        Command::Run(args) => run(subjects, *args),
        Command::Replay { failure } => replay(subjects, &failure),
        Command::Shrink {
            failure,
            duration,
            out,
        } => shrink(subjects, &failure, duration, out),
        Command::Ablate(args) => ablate(subjects, args),
        Command::Litmus(args) => litmus::run(&args),
        Command::Merge { reports, json } => merge(&reports, json),
        Command::List => {
            list(subjects);
            Ok(0)
        }
        Command::Doctor => Ok(if doctor::report() { 0 } else { EXIT_USAGE }),
        Command::Completions { shell } => {
            completions(subjects, line, shell);
            Ok(0)
        }
    }
}

fn run(subjects: &[&dyn Subject], args: RunArgs) -> Result<u8, String> {
    let black_box = match (args.cmd, args.check) {
        (Some(cmd), Some(check)) => Some(BlackBox::new(cmd, check)?),
        _ => None,
    };
    let chosen = match &black_box {
        Some(black_box) => vec![black_box as &dyn Subject],
        None => choose(subjects, &args.subjects)?,
    };
    for engine in &args.engine {
        if !chosen
            .iter()
            .all(|subject| subject.engines().contains(&engine.as_str()))
        {
            return Err(format!(
                "engine '{engine}' is not one of every subject's; see `list`"
            ));
        }
    }
    let named = !args.crash.is_empty();
    let kinds = if named {
        args.crash
    } else if args.fs.is_empty() {
        CrashKind::UNPRIVILEGED.to_vec()
    } else {
        vec![CrashKind::Disk]
    };
    let mut passes = vec![(chosen.as_slice(), kinds.as_slice())];
    if args.with_disk {
        passes.push((&chosen[..1], &[CrashKind::Disk]));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut plan = Plan {
        budget: Budget::Rounds(args.rounds.unwrap_or(0)),
        seed: args.seed.unwrap_or_else(|| u64::from(rand_seed())),
        jobs: args.jobs.unwrap_or(cores).max(1),
        engines: args.engine,
        scratch: args.dir,
        out: args.out,
        file_systems: args.fs,
        disk: DiskOptions {
            bytes: args.disk_size,
            mkfs: args
                .mkfs_options
                .iter()
                .flat_map(|options| options.split_whitespace().map(str::to_owned))
                .collect(),
            mount: args.mount_options,
        },
        profiles: args.profile,
        hang_limit: args.hang_limit,
        shard: args.shard,
        keep_going: args.patience.keep_going,
        fail_fast: args.patience.fail_fast,
        ..Plan::default()
    };
    if args.rounds.is_none() {
        let rows = passes
            .iter()
            .map(|(subjects, kinds)| subjects.len() * plan.cases(kinds).len());
        let rows = u32::try_from(rows.sum::<usize>()).unwrap_or(u32::MAX);
        plan.budget = Budget::Duration(args.duration.unwrap_or(DEFAULT_DURATION) / rows);
    }
    if named {
        for subject in &chosen {
            campaign::require(*subject, &kinds, &plan)?;
        }
    }
    let stop = stop_on_signal()?;
    let terminal = Terminal::default();
    let observer: &dyn Observer = if args.json { &Json } else { &terminal };
    let mut rows = Vec::new();
    for (subjects, kinds) in passes {
        let more = campaign::run(subjects, kinds, &plan, &stop, observer)
            .map_err(|error| format!("the torture cannot go on: {error}"))?;
        rows.extend(more);
    }
    let closing = Closing {
        seed: plan.seed,
        shard: plan.shard,
        interrupted: stop.load(Ordering::Relaxed),
    };
    Ok(report(&rows, &closing, args.json))
}

/// Tells the result in the way that was asked for, and returns the exit status.
fn report(rows: &[Row], closing: &Closing, json: bool) -> u8 {
    if json {
        Json::summary(rows, closing);
    } else {
        Terminal::summary(rows, closing);
    }
    Verdict::of(rows).exit_status()
}

fn merge(reports: &[PathBuf], json: bool) -> Result<u8, String> {
    let Merged { rows, seed } = Merged::of(reports)?;
    if json {
        for row in &rows {
            Json.end(row);
        }
    }
    let closing = Closing {
        seed,
        shard: Shard::WHOLE,
        interrupted: false,
    };
    Ok(report(&rows, &closing, json))
}

/// Is set by Ctrl-C.
fn stop_on_signal() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    ctrlc::set_handler(move || on_signal.store(true, Ordering::Relaxed))
        .map_err(|error| format!("cannot handle Ctrl-C: {error}"))?;
    Ok(stop)
}

fn ablate(subjects: &[&dyn Subject], args: AblateArgs) -> Result<u8, String> {
    let subject = choose(subjects, std::slice::from_ref(&args.subject))?[0];
    ablate::run(subject, args, rand_seed(), &*stop_on_signal()?)
}

/// Prints the script. It knows this binary's subjects, engines and crash kinds.
fn completions(subjects: &[&dyn Subject], line: clap::Command, shell: CompletionShell) {
    let names: Vec<String> = subjects.iter().map(|s| s.name().to_owned()).collect();
    let engines: BTreeSet<&str> = subjects.iter().flat_map(|s| s.engines()).copied().collect();
    let kinds = CrashKind::ALL.map(|kind| kind.to_string());
    let mut command = line.mut_subcommand("run", |run| {
        run.mut_arg("subjects", |arg| {
            arg.value_parser(PossibleValuesParser::new(names))
        })
        .mut_arg("engine", |arg| {
            arg.value_parser(PossibleValuesParser::new(engines))
        })
        .mut_arg("crash", |arg| {
            arg.value_parser(PossibleValuesParser::new(kinds))
        })
    });
    let binary = std::env::current_exe().ok();
    let binary = binary.as_deref().and_then(Path::file_name);
    let binary = binary.and_then(OsStr::to_str).unwrap_or(NAME).to_owned();
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, binary, &mut io::stdout());
}

/// A seed that a person can type.
fn rand_seed() -> u32 {
    let time = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    let process = u64::from(std::process::id());
    crate::workload::stream(
        time.as_secs() ^ u64::from(time.subsec_nanos()) << 32,
        process,
    )
    .next_u32()
}

fn choose<'a>(
    subjects: &[&'a dyn Subject],
    names: &[String],
) -> Result<Vec<&'a dyn Subject>, String> {
    if names.is_empty() {
        let on_trial = subjects
            .iter()
            .filter(|subject| subject.exhibit().is_none());
        return Ok(on_trial.copied().collect());
    }
    let find = |name: &String| {
        let found = subjects.iter().find(|subject| subject.name() == name);
        found.copied().ok_or_else(|| {
            let known: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
            format!("unknown subject '{name}'; known are: {}", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn replay(subjects: &[&dyn Subject], folder: &std::path::Path) -> Result<u8, String> {
    let at = |error| format!("cannot replay {}: {error}", folder.display());
    let finding = Finding::load(folder).map_err(at)?;
    let scratch = Scratch::create(&std::env::temp_dir()).map_err(at)?;
    println!(
        "{} ({}), when it was found:\n  {}",
        finding.subject, finding.engine, finding.violation
    );
    let on_disk = replay_on_disk(subjects, &finding, scratch.path())?;
    let checked = if let Some(checked) = on_disk {
        Ok(checked)
    } else if let Some(record) = &finding.black_box {
        blackbox::replay(record, &finding, scratch.path())
    } else {
        let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
        match &finding.timeline {
            Some(timeline) => simulated::check_again(subject, timeline, scratch.path()),
            None => kill::check_again(subject, &finding, scratch.path()),
        }
    };
    match checked.map_err(at)? {
        Ok(()) => {
            println!("Now: no promise is broken. This image recovers correctly.");
            Ok(Verdict::Pass.exit_status())
        }
        Err(violation) => {
            println!("Now:\n  {violation}");
            Ok(Verdict::Violation.exit_status())
        }
    }
}

/// What is under test in a failure on a real disk.
fn store_of<'a>(
    subjects: &[&'a dyn Subject],
    finding: &'a Finding,
    plan: &Plan,
    scratch: &Path,
) -> Result<Box<dyn disk::Store + 'a>, String> {
    let at = |error| format!("the failure cannot be read: {error}");
    if let Some(record) = &finding.black_box {
        let (launcher, limit) = (plan.launcher.clone(), plan.hang_limit);
        let store = DiskStore::new(&record.store, launcher, limit, finding.seed);
        return Ok(Box::new(store.of(record, finding).map_err(at)?));
    }
    let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
    let store = disk::SubjectStore::new(subject, plan, scratch);
    Ok(Box::new(store.of(finding).map_err(at)?))
}

/// Mounts the image of a failure on a real disk again. `None` if it is none, or cannot be mounted here:
/// then its saved directory is checked.
fn replay_on_disk(
    subjects: &[&dyn Subject],
    finding: &Finding,
    scratch: &Path,
) -> Result<Option<Result<(), Violation>>, String> {
    let Some(crash) = &finding.disk else {
        return Ok(None);
    };
    let plan = Plan {
        seed: finding.seed,
        ..Plan::default()
    };
    let mut store = store_of(subjects, finding, &plan, scratch)?;
    let replayed = disk::replay(&mut *store, crash, scratch)
        .map_err(|error| format!("cannot mount the crash image again: {error}"))?;
    match replayed {
        Ok(checked) => {
            println!(
                "The crash image was mounted again, as {}.",
                crash.file_system.kind
            );
            Ok(Some(checked))
        }
        Err(why) => {
            println!(
                "The crash image cannot be mounted here ({why}): its saved directory is checked."
            );
            Ok(None)
        }
    }
}

fn shrink_on_disk(
    subjects: &[&dyn Subject],
    finding: &Finding,
    duration: Duration,
    out: &Path,
) -> Result<u8, String> {
    let crash = finding.disk.as_ref().expect("the caller has looked");
    let at = |error| format!("cannot shrink it: {error}");
    let scratch = Scratch::create(&std::env::temp_dir()).map_err(at)?;
    let plan = Plan {
        seed: finding.seed,
        ..Plan::default()
    };
    let mut store = store_of(subjects, finding, &plan, scratch.path())?;
    let deadline = Instant::now() + duration;
    let shrunk = disk::shrink(&mut *store, crash, scratch.path(), deadline).map_err(at)?;
    let Some(disk::Shrunk {
        finding,
        candidates,
        lost,
    }) = shrunk
    else {
        println!("The failure does not show any more: its crash image breaks no promise.");
        return Ok(Verdict::Pass.exit_status());
    };
    let saved = finding.save(out).map_err(at)?;
    println!("{}\n  {}", finding.violation, finding.crash_point);
    println!(
        "{lost} lost writes do it, after {candidates} images; saved in {}",
        saved.display()
    );
    println!("\n{}", finding.tale.as_deref().unwrap_or_default());
    Ok(Verdict::Violation.exit_status())
}

fn shrink(
    subjects: &[&dyn Subject],
    folder: &std::path::Path,
    duration: Duration,
    out: PathBuf,
) -> Result<u8, String> {
    let at = |error| format!("cannot shrink {}: {error}", folder.display());
    let finding = Finding::load(folder).map_err(at)?;
    if finding.disk.is_some() {
        return shrink_on_disk(subjects, &finding, duration, &out);
    }
    if finding.black_box.is_some() {
        return Err(format!(
            "cannot shrink {}: only the program itself knows what it was doing; `replay` checks \
             its crash image again",
            folder.display()
        ));
    }
    let subject = choose(subjects, std::slice::from_ref(&finding.subject))?[0];
    if finding.script.is_empty() && finding.timeline.is_none() {
        return Err(format!(
            "cannot shrink {}: a failure of {} has no script to play again; find one with `run {} \
             --crash syscall`, or `--crash power`",
            folder.display(),
            finding.crash,
            finding.subject,
        ));
    }
    let plan = Plan {
        budget: Budget::Duration(duration),
        out,
        seed: finding.seed,
        ..Plan::default()
    };
    let scratch = Scratch::create(&plan.scratch_dir(true)).map_err(at)?;
    let shrunk = shrink::shrink(subject, &finding, &plan, scratch.path(), duration).map_err(at)?;
    let Some(Shrunk {
        finding,
        candidates,
        operations,
        lives,
    }) = shrunk
    else {
        println!("The failure does not show any more: its script breaks no promise.");
        return Ok(Verdict::Pass.exit_status());
    };
    let saved = finding.save(&plan.out).map_err(at)?;
    println!("{}", finding.violation);
    println!("  {}", finding.crash_point);
    println!(
        "{operations} operations in {lives} lives, after {candidates} scripts; saved in {}",
        saved.display(),
    );
    println!("\nAs a test:\n\n{}", shrink::test_of(subject, &finding));
    Ok(Verdict::Violation.exit_status())
}

fn list(subjects: &[&dyn Subject]) {
    println!("Subjects:");
    for subject in subjects {
        println!(
            "  {}  (engines: {})",
            subject.name(),
            subject.engines().join(", ")
        );
        if let Some(why) = subject.exhibit() {
            println!("    an exhibit, run by name and expected to fail: {why}");
        }
    }
    println!("Crash kinds:");
    for kind in CrashKind::ALL {
        println!("  {kind}  {}", kind.description());
    }
}
