//! A failure, kept so that it can be looked at and checked again.
//!
//! A failure is a folder:
//!
//! ```text
//! README.md      what happened, in words
//! failure.json   the same for programs: a common head, and the evidence of the crash kind
//! image/         the store's directory as the crash left it
//! begins-with/   what each directory began with, if that was given
//! ...            what the crash kind attached
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crash_kind::CrashKind;
use crate::failures;
use crate::history::Event;
use crate::oracle::Violation;
use crate::prose;
use crate::scratch::copy_dir;
use crate::workload::Workload;

/// The version of `failure.json`. It changes when a program could misread an older file.
const FORMAT: u64 = 2;
const FILE_NAME: &str = "failure.json";
const IMAGE_NAME: &str = "image";
const GIVEN_NAME: &str = "begins-with";
const README_NAME: &str = "README.md";

/// Everything that is needed to check a failure again: the crash image as the crash left it, what
/// had been announced, and what the oracle knew.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Version of `failure.json`.
    format: u64,
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
    /// The round, where the seed and its number are all that it takes to do it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// Where it died: the instant, or the system call.
    pub crash_point: String,
    /// The broken promise.
    pub violation: Violation,
    /// What the oracle knew of the generations before, as the oracle saved it.
    pub oracle: Value,
    /// The workloads of this directory, the failed one last.
    pub workloads: Vec<Workload>,
    /// What the failed generation announced.
    pub events: Vec<Event>,
    /// The store's directory, copied before recovery touched it.
    pub image: PathBuf,
    /// What the store needs to be taken up again. Written and read by the store alone.
    #[serde(default)]
    pub(crate) store: Value,
    /// What the crash kind needs to play it again. Written and read by the kind alone: see
    /// [`evidence`](Self::evidence).
    #[serde(default)]
    evidence: Value,
    /// What is under test, in words, a line each.
    about: Vec<String>,
    /// How far the failed generation had come, in words.
    progress: Option<String>,
    /// What happened, in words.
    story: String,
    /// Folders that belong to the evidence, by name.
    #[serde(skip)]
    attachments: Vec<(&'static str, PathBuf)>,
    /// The folder that it was loaded from.
    #[serde(skip)]
    folder: PathBuf,
}

/// What a store tells of a failure.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) subject: String,
    pub(crate) engine: String,
    pub(crate) violation: Violation,
    pub(crate) oracle: Value,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) store: Value,
    pub(crate) about: Vec<String>,
    pub(crate) progress: Option<String>,
}

impl Head {
    pub(crate) fn new(subject: &str, engine: &str, violation: Violation) -> Self {
        Self {
            subject: subject.to_owned(),
            engine: engine.to_owned(),
            violation,
            oracle: Value::Null,
            workloads: Vec::new(),
            store: Value::Null,
            about: vec![format!("subject: `{subject}`, engine `{engine}`")],
            progress: None,
        }
    }
}

impl Finding {
    pub(crate) fn new(crash: CrashKind, seed: u64, head: Head) -> Self {
        let Head {
            subject,
            engine,
            violation,
            oracle,
            workloads,
            store,
            about,
            progress,
        } = head;
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject,
            engine,
            crash,
            seed,
            round: None,
            crash_point: String::new(),
            violation,
            oracle,
            workloads,
            events: Vec::new(),
            image: PathBuf::new(),
            store,
            evidence: Value::Null,
            about,
            progress,
            story: String::new(),
            attachments: Vec::new(),
            folder: PathBuf::new(),
        }
    }

    /// The seed and this number do it again.
    pub(crate) fn in_round(mut self, round: u64) -> Self {
        self.round = Some(round);
        self
    }

    /// Where it died.
    pub(crate) fn at(mut self, point: impl Into<String>) -> Self {
        self.crash_point = point.into();
        self
    }

    pub(crate) fn with_events(mut self, events: Vec<Event>) -> Self {
        self.events = events;
        self
    }

    pub(crate) fn with_image(mut self, image: &Path) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// What happened, in words, instead of what was said before.
    pub(crate) fn with_story(mut self, story: String) -> Self {
        self.story = story;
        self
    }

    /// More of what happened.
    pub(crate) fn and_story(mut self, more: &str) -> Self {
        self.story.push('\n');
        self.story.push_str(more);
        self
    }

    /// What the crash kind needs to play it again.
    pub(crate) fn with_evidence(mut self, evidence: &impl Serialize) -> Self {
        self.evidence = serde_json::to_value(evidence).expect("plain data");
        self
    }

    /// A folder that belongs to the evidence.
    pub(crate) fn with_attachment(mut self, name: &'static str, folder: &Path) -> Self {
        self.attachments.push((name, folder.to_owned()));
        self
    }

    /// The directory that the torture was given to begin with, if it was.
    pub(crate) fn given(&self) -> Option<PathBuf> {
        Some(self.attachment(GIVEN_NAME)).filter(|given| given.is_dir())
    }

    /// The torture was given a directory to begin with.
    pub(crate) fn with_given(self, given: Option<&Path>) -> Self {
        match given {
            Some(given) => self.with_attachment(GIVEN_NAME, given),
            None => self,
        }
    }

    /// What the crash kind kept.
    ///
    /// # Errors
    /// If it is of another crash kind.
    pub(crate) fn evidence<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_value(self.evidence.clone()).map_err(|error| {
            let reason = format!("its evidence is not that of {}: {error}", self.crash);
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })
    }

    /// A folder that belongs to the evidence.
    pub(crate) fn attachment(&self, name: &str) -> PathBuf {
        let attached = self.attachments.iter().find(|(known, _)| *known == name);
        attached.map_or_else(|| self.folder.join(name), |(_, folder)| folder.clone())
    }

    /// Saves the finding as a new folder below `out`, and returns its path.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, out: &Path) -> io::Result<PathBuf> {
        failures::create(out)?;
        let folder = tempfile::Builder::new()
            .prefix(&format!(
                "{}-{}-",
                self.subject.replace('/', "-"),
                self.crash
            ))
            .disable_cleanup(true)
            .tempdir_in(out)
            .map_err(|error| {
                let reason = format!("no folder in {}: {error}", out.display());
                io::Error::new(error.kind(), reason)
            })?;
        let folder = folder.path();
        copy_dir(&self.image, &folder.join(IMAGE_NAME))?;
        for (name, attached) in &self.attachments {
            copy_dir(attached, &folder.join(name))?;
        }
        let saved = Self {
            image: IMAGE_NAME.into(),
            ..self.clone()
        };
        fs::write(folder.join(FILE_NAME), serde_json::to_vec(&saved)?)?;
        fs::write(folder.join(README_NAME), self.story())?;
        Ok(folder.to_owned())
    }

    /// Loads a finding from its folder.
    ///
    /// # Errors
    /// If there is none, it cannot be read, or another version of plugpull saved it in another format.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let value: Value = serde_json::from_slice(&fs::read(&path)?)?;
        // Before the first version there was none.
        let format = value.get("format").map_or(Some(1), Value::as_u64);
        if format != Some(FORMAT) {
            let saved_by = value["version"].as_str().unwrap_or("unknown");
            let format = format.map_or("unknown".to_owned(), |format| format.to_string());
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is of format {format}, saved by plugpull {saved_by}, and this is plugpull {}, \
                     which reads format {FORMAT}: find the failure again with the same seed, or use \
                     the program that saved it",
                    path.display(),
                    env!("CARGO_PKG_VERSION"),
                ),
            ));
        }
        let finding: Self = serde_json::from_value(value)?;
        Ok(Self {
            image: folder.join(&finding.image),
            folder: folder.to_owned(),
            ..finding
        })
    }

    /// What happened, in words.
    pub fn story(&self) -> String {
        let mut lines: Vec<String> = self.about.clone();
        lines.push(format!("crash: `{}`, {}", self.crash, self.crash_point));
        lines.extend(self.progress.clone());
        lines.push(format!("class: `{}`", self.violation.class()));
        let round = self.round.map(|round| format!("round {round}, "));
        let round = round.unwrap_or_default();
        lines.push(format!(
            "seed {}, {round}plugpull {}",
            self.seed, self.version
        ));
        let story = format!(
            "# {}\n\n- {}\n\n{}\n",
            self.violation,
            lines.join("\n- "),
            self.story.trim_end()
        );
        prose::wrapped(&story, prose::WIDTH)
    }

    /// What happened, without the head.
    pub(crate) fn told(&self) -> &str {
        &self.story
    }
}

/// A finding, and when it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    /// Crash states that its round had looked at by then.
    pub(crate) states: u64,
    pub(crate) at: Instant,
}

impl Found {
    /// Just now.
    pub(crate) fn now(finding: Finding, states: u64) -> Self {
        Self {
            finding,
            states,
            at: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(image: &Path) -> Finding {
        let violation = Violation::Mangled { position: 3 };
        Finding::new(CrashKind::Kill, 7, Head::new("store", "default", violation))
            .at("SIGKILL after 2 events")
            .with_image(image)
            .with_story("It was mangled.".to_owned())
            .with_evidence(&vec![1, 2])
    }

    #[test]
    fn a_finding_is_loaded_as_it_was_saved() {
        let dir = tempfile::tempdir().expect("a directory");
        let (image, attached) = (dir.path().join("a"), dir.path().join("b"));
        for folder in [&image, &attached] {
            fs::create_dir(folder).expect("made");
        }
        fs::write(attached.join("file"), b"x").expect("written");
        let found = finding(&image).with_attachment("recording", &attached);
        let folder = found.save(&dir.path().join("out")).expect("saved");
        let loaded = Finding::load(&folder).expect("loaded");
        assert_eq!(loaded.evidence::<Vec<u32>>().expect("kept"), [1, 2]);
        assert_eq!(loaded.story(), found.story());
        let attached = loaded.attachment("recording").join("file");
        assert_eq!(fs::read(attached).expect("copied"), b"x");
        assert!(loaded.evidence::<String>().is_err());
    }

    #[test]
    fn a_failure_of_another_format_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = dir.path().join("image");
        fs::create_dir(&image).expect("made");
        let folder = finding(&image).save(&dir.path().join("out"));
        let folder = folder.expect("saved");
        let path = folder.join(FILE_NAME);
        let mut value: Value =
            serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
        for (format, told) in [
            (None, "format 1"),
            (Some(3), "format 3"),
            (Some(0), "format 0"),
        ] {
            let object = value.as_object_mut().expect("an object");
            object.remove("format");
            object.extend(format.map(|format| ("format".to_owned(), Value::from(format))));
            fs::write(&path, value.to_string()).expect("written");
            let error = Finding::load(&folder).expect_err("it is of another format");
            let error = error.to_string();
            assert!(
                error.contains(told) && error.contains("format 2"),
                "{error}"
            );
        }
    }
}
