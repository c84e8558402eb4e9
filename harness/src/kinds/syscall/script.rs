//! What the generations of a directory did, so that they can do it again.

use serde::{Deserialize, Serialize};

use crate::loss::{Cuts, KillPoint};
use crate::workload::Workload;

/// The generations of one directory, the failed one last. The evidence of a failure of a store that
/// knows workloads.
pub(super) type Script = Vec<Generation>;

/// One run of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// What the writer does.
    pub workload: Workload,
    /// Where it is killed, if it has not ended before.
    #[serde(flatten)]
    pub kill: KillPoint,
    /// Where its writes are cut.
    #[serde(default)]
    pub cuts: Cuts,
}
