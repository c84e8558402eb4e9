//! The command line: what can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::ablate::{self, AblateArgs};
use crate::crash_kind::CrashKind;
use crate::disk::FileSystemKind;
use crate::ignored::Ignored;
use crate::known::KnownClass;
use crate::lifespan::Lifespan;
use crate::litmus::{self, LitmusArgs};
use crate::loss::Cuts;
use crate::planned_fault::PlannedFault;
use crate::quantity::{parse_duration, parse_limit, parse_size};
use crate::recorder::RecorderKind;
use crate::shard::Shard;
use crate::sim::Profile;

/// The name of a torture binary where its own name is unknown.
pub(super) const NAME: &str = "torture";

/// Kills writers of a store at random instants and checks what recovery brings back against what
/// had been acknowledged.
///
/// Without a command: 30 seconds of everything that this machine can do.
///
/// Exit status: 0 no promise was broken, 1 one was, 2 wrong usage, an environment that cannot do
/// it, or a torture that showed nothing, 130 or 143 interrupted before the end by Ctrl-C or SIGTERM.
/// The second of these signals ends it at once.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
        /// Stop after this time, as 30s or 2m, with the smallest found by then.
        #[arg(long, value_parser = parse_duration, default_value = "60s")]
        duration: Duration,
        /// Where the smallest version is saved; where `run` saves failures if not given.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Leave out each sync of a store in turn, and report which of them are not missed.
    ///
    /// Exit status: 0 each sync was noticed or its redundancy is explained, 1 one was missed or not
    /// exercised, or a promise is broken with every sync in place, 2 wrong usage, or no sync was met.
    #[command(after_help = ablate::EXAMPLES)]
    Ablate(Box<AblateArgs>),
    /// Compare what real file systems keep when the power goes with what the profiles allow.
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
    /// Report what works on this machine, what is missing, and how to get it.
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
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum CompletionShell {
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
  run --crash fault --fault fsync:3:EIO   the third sync of a file fails, then power is lost
  run STORE --keep-going                  what else is broken: one failure of each class
  run --hang-limit 5s                     for a store that recovers fast, or should
  run --json | jq -s '.[-1].summary'      for a script; the exit status says it, too

The table, one row a subject and crash kind:
  states      crash states that were recovered and checked
  acked       acknowledged appends: each of them must survive
  mid-work    rounds in which the crash came while appends were in progress
  verdict     pass, VIOLATIONS, nothing shown (no pass!), environment (the machine failed: the row says
              at what), cut short, or unavailable on this machine: ask `doctor`

A failure is a folder below --out. Its README.md tells what happened; `replay` checks its crash image
again, `shrink` looks for the smallest version.";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Subjects; all but exhibits if none is named. See `list`.
    pub(super) subjects: Vec<String>,
    /// Crash kinds, separated by commas; all but disk if not given.
    #[arg(long, value_delimiter = ',')]
    pub(super) crash: Vec<CrashKind>,
    /// The first subject on disk, too.
    #[arg(long, hide = true)]
    pub(super) with_disk: bool,
    /// For disk: real file systems, separated by commas; all that there are if not given. ext4, xfs or
    /// btrfs.
    #[arg(long, value_delimiter = ',')]
    pub(super) fs: Vec<FileSystemKind>,
    /// For disk: the disk's size, as 64M or 4G; 1G if not given. It costs what is written.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) disk_size: Option<u64>,
    /// For power, fault and rot: what records the runs, seam, trace or mount; if not given, seam for a store
    /// that has one, else trace. With trace and mount, any program runs as it is; mount also follows what it
    /// stores to mapped files, or asks of a ring.
    #[arg(long)]
    pub(super) recorder: Option<RecorderKind>,
    /// For fault: an error of the disk, as KIND:N[:ERRNO], such as fsync:3:EIO for the third sync of a file;
    /// drawn from the seed if not given. Kinds: fsync, fsync-dir, write, short-write, no-space, create, rename
    /// and, on the seam, read. N counts such calls on the store's directory from 1; +N those after the first
    /// announcement. ERRNO is EIO, ENOSPC, EINTR and others; no-space:N:COUNT fails COUNT times. Repeatable:
    /// all of them are met in each run.
    #[arg(long, value_name = "KIND:N[:ERRNO]")]
    pub(super) fault: Vec<PlannedFault>,
    /// For disk: extra options for `mkfs`, as `-O ^has_journal`. They go to every --fs.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub(super) mkfs_options: Option<String>,
    /// For disk: extra options for `mount -o`, as data=journal or nobarrier. They go to every --fs.
    #[arg(long, value_name = "OPTIONS")]
    pub(super) mount_options: Option<String>,
    /// For power, fault and rot: the rules by which things are lost, separated by commas; all if not
    /// given. strict, ext4-ordered, xfs, btrfs, synced-only or everything.
    #[arg(long, value_delimiter = ',')]
    pub(super) profile: Vec<Profile>,
    /// Instead of subjects, a program of yours in any language: the command that writes until it is
    /// killed. `{dir}` stands for the store's directory, `{port}` and `{sock}` for a port and a socket of a
    /// daemon. See docs/black-box.md.
    #[arg(long, requires = "check", conflicts_with_all = ["subjects", "engine"])]
    pub(super) cmd: Option<String>,
    /// With --cmd: the command that prints what survived.
    #[arg(long, requires = "cmd")]
    pub(super) check: Option<String>,
    /// With --cmd: the store's directory belongs to this user, who can reach it, for a daemon that changes its
    /// user. The commands are started as without. Takes root. See docs/daemons.md.
    #[arg(long, value_name = "USER", requires = "cmd")]
    pub(super) owner: Option<String>,
    #[command(flatten)]
    pub(super) beginning: Beginning,
    /// Engines, separated by commas; all of each subject if not given.
    #[arg(long, value_delimiter = ',')]
    pub(super) engine: Vec<String>,
    /// Stop each row after this number of rounds.
    #[arg(long, conflicts_with = "duration")]
    pub(super) rounds: Option<u64>,
    /// Of each row, do only the round with this number, from 0: with the same seed, it does what it does in a
    /// whole row. For power, fault and rot on the seam.
    #[arg(long, value_name = "N", requires = "seed", conflicts_with_all = ["rounds", "duration", "shard"])]
    pub(super) round: Option<u64>,
    /// Stop after this time, all rows together, as 30s, 10m or 2h. Default: 30s.
    #[arg(long, value_parser = parse_duration)]
    pub(super) duration: Option<Duration>,
    /// Everything random derives from it; drawn and printed if not given.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Directories tortured at the same time; as many as there are cores if not given.
    #[arg(long)]
    pub(super) jobs: Option<usize>,
    /// Where the tortured stores live. If not given: the system's temporary directory, for `syscall`
    /// memory (/dev/shm) where there is some.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
    /// Where failures are saved. If not given: `plugpull` in the target directory in which this program
    /// was built; without one, `plugpull-failures-UID` in the system's temporary directory.
    #[arg(long)]
    pub(super) out: Option<PathBuf>,
    /// A recovery that does not end within this time hangs, and so does a writer under trace: a
    /// violation.
    #[arg(long, value_parser = parse_limit, default_value = "30s")]
    pub(super) hang_limit: Duration,
    /// Where `syscall` cuts a write: between pages of the file, as a kill does it, or anywhere, which no
    /// kill does.
    #[arg(long, value_name = "WHERE", default_value_t)]
    pub(super) cuts: Cuts,
    /// Files in the store's directory that differ from run to run, as they hold process ids or times: a
    /// pattern, such as 'db/lock.*'. A real kill need not leave them as they were copied. Repeatable.
    #[arg(long, value_name = "GLOB")]
    pub(super) ignore: Vec<Ignored>,
    /// A failure that is known already, by its class, as a report and a failure's README.md have it: 'lost', or a
    /// pattern such as 'recovery failed: *'. It is counted and passed over, and what lies behind it is looked for.
    /// Repeatable.
    #[arg(long, value_name = "CLASS")]
    pub(super) known: Vec<KnownClass>,
    /// Do the rounds of one shard of several, as 2/4: for the same seed, all of them together do what
    /// one torture would. `merge` makes one report of theirs.
    #[arg(long, default_value_t = Shard::WHOLE, hide_default_value = true, requires = "seed")]
    pub(super) shard: Shard,
    #[command(flatten)]
    pub(super) patience: Patience,
    #[command(flatten)]
    pub(super) writers: Writers,
    /// Print one JSON object a line: a row each, then the summary.
    #[arg(long)]
    pub(super) json: bool,
}

/// What each fresh directory begins with: nothing, if nothing is said.
#[derive(Debug, Args)]
pub(super) struct Beginning {
    /// With --cmd: a command that makes the store, and ends. What it leaves in `{dir}` is durable, and what each
    /// fresh directory begins with: a store that opens, and holds no entry.
    #[arg(long, value_name = "CMD", requires = "cmd", conflicts_with = "image")]
    pub(super) setup: Option<String>,
    /// A directory, of which each fresh one is a copy: a store that opens, and holds no entry. All of it is
    /// durable.
    #[arg(long, value_name = "DIR")]
    pub(super) image: Option<PathBuf>,
}

/// What happens after a failure.
#[derive(Debug, Args)]
pub(super) struct Patience {
    /// Go on after failures, to the end, and keep one of each class; if not given, a row stops after
    /// three.
    #[arg(long)]
    pub(super) keep_going: bool,
    /// End all of it at the first failure, instead of a row at its third.
    #[arg(long, conflicts_with = "keep_going")]
    pub(super) fail_fast: bool,
}

/// How long writers live. If nothing is asked for, the first lives of a program tell: one that was ended before
/// it had acknowledged anything gets more the next time.
#[derive(Debug, Args)]
pub(super) struct Writers {
    /// Writers live no longer than this, as 100ms or 5s; a program, from its first word on. If not given: what a
    /// subject says, 250ms for a program, 10s under trace.
    #[arg(long, value_parser = parse_limit)]
    life: Option<Duration>,
    /// Writers are ended after this number of announcements at the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    lines: Option<u64>,
    /// Under trace, writers are ended after this number of calls on the store's directory at the latest, those of a
    /// program counted from its first word on. If not given: 60 to 200, for a program 24 to 72.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// No crash before the first acknowledgement in a fresh directory: what is wrong while a store comes about
    /// hides nothing.
    #[arg(long)]
    after_ack: bool,
}

impl Writers {
    pub(super) fn lifespan(&self) -> Lifespan {
        Lifespan {
            life: self.life,
            lines: self.lines,
            calls: self.calls,
            after_ack: self.after_ack,
        }
    }
}
