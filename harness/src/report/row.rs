//! What a torture did and found: a row for each subject and crash kind.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::crash_kind::CrashKind;
use crate::disk::FileSystemKind;
use crate::recorder::RecorderKind;
use crate::tally::Tally;

/// One line of the verdict table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Subject under test.
    pub subject: String,
    /// How it died.
    pub crash: CrashKind,
    /// On which real file system, if that is part of how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs: Option<FileSystemKind>,
    /// What recorded its runs, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorder: Option<RecorderKind>,
    /// The seed.
    pub seed: u64,
    /// What was done and seen.
    #[serde(flatten)]
    pub tally: Tally,
    /// Wall time in seconds.
    pub elapsed_s: f64,
    /// Rounds a second.
    pub rounds_per_s: f64,
    /// Crash states a second, all jobs together.
    pub states_per_s: f64,
    /// How much of what there is was looked at.
    pub coverage: Coverage,
    /// Processes that the subject had started outside its process group and left running. They were
    /// killed when the row was over.
    pub strays: u64,
    /// Why this machine cannot run it: then nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// What failed of this machine, or of the harness, so that the row ended before its end. It is no
    /// fault of the subject's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It was interrupted before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// The folders of saved failures, with the first broken promise.
    pub failures: Vec<SavedFailure>,
}

impl Row {
    /// How it died, and where: `kill`, `disk ext4`.
    pub fn case(&self) -> String {
        case_name(self.crash, self.fs, self.recorder)
    }

    /// A row in which nothing was done.
    pub(crate) fn nothing(
        subject: &str,
        crash: CrashKind,
        fs: Option<FileSystemKind>,
        seed: u64,
    ) -> Self {
        Self {
            subject: subject.to_owned(),
            crash,
            fs,
            recorder: None,
            seed,
            tally: Tally::default(),
            elapsed_s: 0.0,
            rounds_per_s: 0.0,
            states_per_s: 0.0,
            coverage: Coverage::None,
            strays: 0,
            unavailable: None,
            error: None,
            cut_short: false,
            failures: Vec::new(),
        }
    }
}

/// The name of a crash kind, with the real file system if it needs one, and with the recorder if it is not
/// the seam: `kill`, `disk ext4`, `power trace`.
pub(crate) fn case_name(
    crash: CrashKind,
    fs: Option<FileSystemKind>,
    recorder: Option<RecorderKind>,
) -> String {
    match (fs, recorder) {
        (Some(fs), _) => format!("{crash} {fs}"),
        (None, Some(RecorderKind::Seam) | None) => crash.to_string(),
        (None, Some(recorder)) => format!("{crash} {recorder}"),
    }
}

/// How much of what there is a row has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Nothing: this machine cannot do it.
    None,
    /// Some, drawn from the seed.
    Sampled,
    /// Everything.
    Exhaustive,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Sampled => "sampled",
            Self::Exhaustive => "exhaustive",
        })
    }
}

/// A failure on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedFailure {
    /// Its folder. Empty if it could not be saved.
    pub folder: PathBuf,
    /// What was broken, in words.
    pub violation: String,
    /// What sort of failure it is; see [`Violation::class`](crate::oracle::Violation::class).
    #[serde(default)]
    pub class: String,
    /// Crash states that its row had looked at by then.
    #[serde(default)]
    pub after_states: u64,
    /// Seconds that its row had taken by then.
    #[serde(default)]
    pub after_s: f64,
}

impl SavedFailure {
    /// What was broken, and the command that checks it again.
    pub(super) fn told(&self) -> String {
        if self.folder.as_os_str().is_empty() {
            return self.violation.clone();
        }
        let binary = std::env::current_exe().ok();
        let binary = binary.as_deref().and_then(Path::to_str);
        // So the kernel names a program whose file was removed or replaced.
        let binary = binary.map(|name| name.trim_end_matches(" (deleted)"));
        format!(
            "{}\n  check it again: {} replay {}",
            self.violation,
            binary.unwrap_or("torture"),
            self.folder.display()
        )
    }
}
