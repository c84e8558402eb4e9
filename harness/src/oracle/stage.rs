//! What a store was doing when it broke.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was being done when a store did not open, crashed, hung, or stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The writer ended with an error, or hung.
    WriterFailed,
    /// The writer ended before it was killed.
    WriterStopped,
    /// A command that writes said something that is not of the protocol.
    WriterGarbage,
    /// A command that writes said nothing, and did not end.
    WriterHangs,
    /// Recovery ended with an error, or hung.
    RecoveryFailed,
    /// A second recovery of the same directory did, after one that had not.
    SecondRecoveryFailed,
    /// Recovery of damaged bytes crashed or hung, or showed what is no entry, instead of refusing them.
    DamagedRecovery,
    /// A command that checks ended with an error, hung, or said something that is not of the protocol.
    CheckerFailed,
    /// A store in the harness's own process did not return.
    StoreHangs,
    /// Before `power` cuts anything: a writer came to its own end, and recovery does not show what it had
    /// acknowledged. The store's clean end, its recovery or the checker is at fault, not a sync.
    EndControl,
    /// Before `power` cuts anything: a writer was killed, and recovery does not show what it had
    /// acknowledged. It is lost to a kill already.
    KillControl,
}

impl Stage {
    /// It is the writer that broke: to see it again, it has to write again.
    pub(crate) fn is_writers(self) -> bool {
        matches!(
            self,
            Self::WriterFailed | Self::WriterStopped | Self::WriterGarbage | Self::WriterHangs
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WriterFailed => "the writer failed",
            Self::WriterStopped => "the writer stopped by itself",
            Self::WriterGarbage => "the writer does not keep to the protocol",
            Self::WriterHangs => "the writer hangs",
            Self::RecoveryFailed => "recovery failed",
            Self::SecondRecoveryFailed => "the second recovery failed",
            Self::DamagedRecovery => "recovery of damaged bytes",
            Self::CheckerFailed => "the checker failed",
            Self::StoreHangs => "the store hangs",
            Self::EndControl => "it fails without a crash, after a clean end",
            Self::KillControl => "lost to a kill already, without a power cut",
        })
    }
}
