//! What a torture is to do, and where.

use std::path::PathBuf;
use std::time::Duration;

use crate::disk::{FileSystem, FileSystemKind};
use crate::finding::Finding;
use crate::ignored::Ignored;
use crate::known::Known;
use crate::lifespan::Lifespan;
use crate::loss::Cuts;
use crate::planned_fault::PlannedFault;
use crate::process::Launcher;
use crate::recorder::RecorderKind;
use crate::scratch::memory_dir;
use crate::shard::Shard;
use crate::sim::Profile;
use crate::stop::Stop;

/// The time that a child has to end or to answer, by default.
pub(crate) const HANG_LIMIT: Duration = Duration::from_secs(30);

/// When a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// After this number of rounds.
    Rounds(u64),
    /// After this time.
    Duration(Duration),
}

impl Budget {
    /// How long it is, if it is limited by time.
    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Self::Duration(duration) => Some(duration),
            Self::Rounds(_) => None,
        }
    }
}

/// How a real file system is made and mounted.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskOptions {
    /// Size of the disk in bytes, if not that of the preset.
    pub bytes: Option<u64>,
    /// Extra options for `mkfs`.
    pub mkfs: Vec<String>,
    /// Extra options for `mount -o`.
    pub mount: Option<String>,
}

/// What a torture is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How children are started.
    pub launcher: Launcher,
    /// Ends it early, with what it has found so far.
    pub stop: Stop,
    /// For each row of the table.
    pub budget: Budget,
    /// Of each row, only the round with this number.
    pub round: Option<u64>,
    /// Everything random derives from it.
    pub seed: u64,
    /// The number of directories that are tortured at the same time.
    pub jobs: usize,
    /// Restricts a subject's engines; empty for all.
    pub engines: Vec<String>,
    /// Where stores live while they are tortured, if it matters.
    pub scratch: Option<PathBuf>,
    /// Where failures are saved.
    pub out: PathBuf,
    /// Real file systems for `disk`; empty for all that this machine has.
    pub file_systems: Vec<FileSystemKind>,
    /// How they are made and mounted, apart from what their kind says.
    pub disk: DiskOptions,
    /// Rules by which the simulated file system loses things; empty for all.
    pub profiles: Vec<Profile>,
    /// The time that a child has to end, or to answer.
    pub hang_limit: Duration,
    /// The crash kinds were asked for by name.
    pub is_named: bool,
    /// What records runs, where a kind leaves the choice; the best that a store allows, if not given.
    pub recorder: Option<RecorderKind>,
    /// Errors of the disk for `fault`; drawn from the seed if there are none.
    pub faults: Vec<PlannedFault>,
    /// How long writers live, where it is asked for.
    pub lifespan: Lifespan,
    /// Where `syscall` cuts writes.
    pub cuts: Cuts,
    /// Files that a real kill may leave in another state than a copy.
    pub ignored: Vec<Ignored>,
    /// What each fresh directory begins with, instead of what a store prepares: a copy of this one.
    pub image: Option<PathBuf>,
    /// Failures that are passed over.
    pub known: Known,
    /// Which rounds this process does.
    pub shard: Shard,
    /// A row continues after failures, to its end, and keeps one of each class.
    pub keep_going: bool,
    /// The first failure ends the torture.
    pub fail_fast: bool,
}

impl Default for Plan {
    /// One round of everything, by children of this binary.
    fn default() -> Self {
        Self {
            launcher: Launcher::binary(),
            stop: Stop::default(),
            budget: Budget::Rounds(1),
            round: None,
            seed: 0,
            jobs: 1,
            engines: Vec::new(),
            scratch: None,
            out: PathBuf::new(),
            file_systems: Vec::new(),
            disk: DiskOptions::default(),
            profiles: Vec::new(),
            hang_limit: HANG_LIMIT,
            is_named: false,
            recorder: None,
            faults: Vec::new(),
            cuts: Cuts::default(),
            lifespan: Lifespan::default(),
            ignored: Vec::new(),
            image: None,
            known: Known::default(),
            shard: Shard::WHOLE,
            keep_going: false,
            fail_fast: false,
        }
    }
}

impl Plan {
    /// The same, ended by `stop`.
    pub(crate) fn stopped_by(self, stop: &Stop) -> Self {
        Self {
            launcher: self.launcher.stopped_by(stop),
            stop: stop.clone(),
            ..self
        }
    }

    /// The same, to look at a failure again.
    pub(crate) fn of_finding(self, finding: &Finding) -> Self {
        Self {
            seed: finding.seed,
            image: finding.given().or(self.image),
            ..self
        }
    }

    /// Where stores live while they are tortured. With `in_memory`, if there is a directory in memory:
    /// for what is copied at every step.
    pub(crate) fn scratch_dir(&self, in_memory: bool) -> PathBuf {
        match &self.scratch {
            Some(dir) => dir.clone(),
            None => in_memory
                .then(|| memory_dir().ok())
                .flatten()
                .unwrap_or_else(std::env::temp_dir),
        }
    }

    /// A real file system, as it is to be made and mounted.
    pub(crate) fn file_system(&self, kind: FileSystemKind) -> FileSystem {
        let mut file_system = FileSystem::new(kind);
        file_system.bytes = self.disk.bytes.unwrap_or(file_system.bytes);
        file_system.mkfs_args.extend_from_slice(&self.disk.mkfs);
        match &self.disk.mount {
            Some(options) => file_system.mounted_with(options),
            None => file_system,
        }
    }

    /// The rules by which the simulated file system loses things.
    pub(crate) fn profiles(&self) -> &[Profile] {
        if self.profiles.is_empty() {
            &Profile::ALL
        } else {
            &self.profiles
        }
    }

    /// The same with one engine.
    pub(crate) fn with_engine(&self, engine: &str) -> Self {
        Self {
            engines: vec![engine.to_owned()],
            ..self.clone()
        }
    }

    /// Those of a subject's engines with which it is tortured.
    pub(crate) fn engines_of(&self, engines: &[&'static str]) -> Vec<&'static str> {
        let wanted =
            |engine: &&str| self.engines.is_empty() || self.engines.iter().any(|e| e == engine);
        engines.iter().copied().filter(wanted).collect()
    }
}
