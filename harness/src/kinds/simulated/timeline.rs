//! What happened to a store on the simulated file system, from its first life to its last, so that it
//! can happen again.

use serde::{Deserialize, Serialize};

use crate::crash_kind::CrashKind;
use crate::reached::Process;
use crate::sim::{Damage, Fault, Profile};
use crate::workload::Workload;

/// One life after another. The same timeline gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timeline {
    pub(crate) profile: Profile,
    pub(crate) engine: String,
    /// Entropy, and what is left to chance, derives from it.
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
    /// What rots in the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) damage: Vec<Damage>,
    /// Errors of the disk while what has rotted is recovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recovery_faults: Vec<Fault>,
}

impl Timeline {
    /// The crash kind that makes such a timeline.
    pub(crate) fn kind(&self) -> CrashKind {
        if !self.damage.is_empty() {
            CrashKind::Rot
        } else if self.steps.iter().any(|step| !step.faults.is_empty()) {
            CrashKind::Fault
        } else {
            CrashKind::Power
        }
    }
}

/// A life of the store, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) life: Life,
    /// Errors of the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) faults: Vec<Fault>,
    /// It ended before this operation; with its work done if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<usize>,
    pub(crate) end: End,
}

/// What a process does with the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Life {
    /// It opens it and writes.
    Write(Workload),
    /// It opens it and reads what is there.
    Recover {
        /// It closes it in order.
        close: bool,
    },
}

impl Life {
    pub(crate) fn process(&self) -> Process {
        match self {
            Self::Write(_) => Process::Writer,
            Self::Recover { .. } => Process::Recovery,
        }
    }
}

/// How a life ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// The process is killed, or ends: what it wrote is there, as little durable as before.
    Kill,
    /// The power is lost, with these answers to what is lost.
    PowerLoss(Vec<u32>),
}
