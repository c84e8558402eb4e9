//! Several entries in one append.

use groupwal::{Error, Wal};
use plugpull::{Action, ActionKind, Recorder, Workload};

use crate::acted::{Acted, record_failure};

/// The length of a batch.
const BATCH: usize = 3;

/// The ids of the batch that begins with this action, if one does: one append in four, with the actions
/// that follow it.
pub(crate) fn batch_of(
    workload: &Workload,
    first: &Action,
    actions: &mut dyn Iterator<Item = Action>,
) -> Option<Vec<u64>> {
    if first.kind != ActionKind::Append || !workload.key(first.id).is_multiple_of(4) {
        return None;
    }
    let ids = with_following(first, actions);
    (ids.len() > 1).then_some(ids)
}

/// The ids of an action and of those behind it.
pub(crate) fn with_following(
    first: &Action,
    actions: &mut dyn Iterator<Item = Action>,
) -> Vec<u64> {
    let rest = actions.take(BATCH - 1).map(|action| action.id);
    std::iter::once(first.id).chain(rest).collect()
}

/// Appends a batch and records its outcome.
pub(crate) async fn append_batch(
    wal: &Wal,
    workload: &Workload,
    ids: &[u64],
    recorder: &Recorder,
) -> Result<Acted, Error> {
    let payloads: Vec<Vec<u8>> = ids.iter().map(|id| workload.payload(*id)).collect();
    recorder.attempt_batch(ids);
    match wal.append_batch(&payloads).await {
        Ok(positions) => {
            for (id, position) in ids.iter().zip(positions.clone()) {
                recorder.ack(*id, position);
            }
            Ok(Acted::At(positions.end - 1))
        }
        Err(error) => {
            let mut acted = Acted::Nothing;
            for id in ids {
                acted = record_failure(*id, error.clone(), recorder)?;
            }
            Ok(acted)
        }
    }
}
