//! A violation, kept so that it can be looked at and checked again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blackbox::Record;
use crate::crash::CrashKind;
use crate::crash::disk::DiskCrash;
use crate::crash::simulated::Timeline;
use crate::history::Event;
use crate::oracle::Violation;
use crate::scratch::copy_dir;
use crate::workload::Workload;

/// Everything that is needed to check a violation again: the crash image as the crash left it, what
/// had been announced, and what the oracle knew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Version of plugpull that found it.
    pub version: String,
    /// Subject under test.
    pub subject: String,
    /// Its engine.
    pub engine: String,
    /// How it died.
    pub crash: CrashKind,
    /// The seed of the torture.
    pub seed: u64,
    /// Where it died: the instant, or the system call.
    pub crash_point: String,
    /// The broken promise.
    pub violation: Violation,
    /// What the oracle knew of the generations before, as it saved it.
    pub oracle: Value,
    /// The workloads of this directory, the failed one last.
    pub workloads: Vec<Workload>,
    /// For `syscall`: the same workloads, and after how many calls each was killed. A script can
    /// be played again, and shrunk.
    #[serde(default)]
    pub script: Vec<Generation>,
    /// What the failed generation announced.
    pub events: Vec<Event>,
    /// The store's directory, copied before recovery touched it.
    pub image: PathBuf,
    /// On the simulated file system: everything that happened, so that it can happen again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeline: Option<Timeline>,
    /// On a real file system: the recorded device, and what became of its writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<DiskCrash>,
    /// The same, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tale: Option<String>,
    /// The commands of a black box, and what it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) black_box: Option<Record>,
}

/// One run of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// What the writer does.
    pub workload: Workload,
    /// Where it is killed, if it has not ended before.
    #[serde(flatten)]
    pub kill: KillPoint,
}

/// Where a traced run is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillPoint {
    /// After so many system calls on the directory.
    pub calls: u64,
    /// Inside the last of them, after so many bytes of it were written.
    #[serde(default)]
    pub inside: Option<u64>,
}

const FILE_NAME: &str = "failure.json";
const IMAGE_NAME: &str = "image";
const RECORDING_NAME: &str = "recording";
const README_NAME: &str = "README.md";

impl Finding {
    /// Saves the finding as a new folder below `out`, and returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, out: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(out)?;
        let folder = tempfile::Builder::new()
            .prefix(&format!(
                "{}-{}-",
                self.subject.replace('/', "-"),
                self.crash
            ))
            .disable_cleanup(true)
            .tempdir_in(out)?;
        let folder = folder.path();
        copy_dir(&self.image, &folder.join(IMAGE_NAME))?;
        let mut saved = Self {
            image: IMAGE_NAME.into(),
            ..self.clone()
        };
        if let Some(crash) = &mut saved.disk {
            copy_dir(&crash.recording, &folder.join(RECORDING_NAME))?;
            crash.recording = RECORDING_NAME.into();
        }
        fs::write(folder.join(FILE_NAME), serde_json::to_vec(&saved)?)?;
        fs::write(folder.join(README_NAME), self.story())?;
        Ok(folder.to_owned())
    }

    /// Loads a finding from its folder.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let bytes = fs::read(folder.join(FILE_NAME))?;
        let mut finding: Self = serde_json::from_slice(&bytes)?;
        if let Some(crash) = &mut finding.disk {
            crash.recording = folder.join(&crash.recording);
        }
        Ok(Self {
            image: folder.join(&finding.image),
            ..finding
        })
    }

    /// What happened, in words.
    pub fn story(&self) -> String {
        if let Some(record) = &self.black_box {
            let tale = self.tale.as_deref().unwrap_or_default();
            return format!("{}\n{tale}", record.story(self))
                .trim_end()
                .to_owned()
                + "\n";
        }
        if let Some(tale) = &self.tale {
            return self.with_tale(tale);
        }
        let count = |of: fn(&Event) -> bool| self.events.iter().filter(|e| of(e)).count();
        let tried = count(|e| matches!(e, Event::Attempt { .. } | Event::AttemptDelete { .. }));
        let acked = count(|e| matches!(e, Event::Ack { .. }));
        let last: Vec<String> = self
            .events
            .iter()
            .rev()
            .take(12)
            .map(|event| format!("    {}", serde_json::to_string(event).expect("plain data")))
            .collect();
        let last: Vec<String> = last.into_iter().rev().collect();
        format!(
            "# {violation}\n\n\
             - subject: `{subject}`, engine `{engine}`\n\
             - crash: `{crash}`, {point}\n\
             - generation {generation} of its directory: {tried} attempts, {acked} acknowledged\n\
             - seed {seed}, plugpull {version}\n\n\
             `image/` is the store as the crash left it, before recovery touched it. `failure.json` holds\n\
             what had been announced and what earlier recoveries had shown. The last events:\n\n{last}\n",
            violation = self.violation,
            subject = self.subject,
            engine = self.engine,
            crash = self.crash,
            point = self.crash_point,
            generation = self.workloads.len().saturating_sub(1),
            seed = self.seed,
            version = self.version,
            last = last.join("\n"),
        )
    }

    /// The story of a failure on the simulated file system.
    fn with_tale(&self, tale: &str) -> String {
        let counted = match self.crash {
            CrashKind::Disk => "the requests that the device has answered",
            _ => "the operations that changed something, over all lives",
        };
        format!(
            "# {violation}\n\n\
             - subject: `{subject}`, engine `{engine}`\n\
             - crash: `{crash}`, {point}\n\
             - seed {seed}, plugpull {version}\n\n\
             Numbers count {counted}. `image/` is what recovery found.\n\n{tale}\
             Then recovery finds: {violation}\n",
            violation = self.violation,
            subject = self.subject,
            engine = self.engine,
            crash = self.crash,
            point = self.crash_point,
            seed = self.seed,
            version = self.version,
        )
    }
}
