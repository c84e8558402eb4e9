//! What a writer does with a log: one action, and the payloads as entries.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use groupwal::{Delete, Entry, Error, Insert, Op, Wal};
use plugpull::{Action, ActionKind, Recorder, Workload};

use crate::acted::{Acted, record_failure};

pub(crate) const ENTRY_BYTES_MAX: usize = 8 << 10;

/// Carries out one action and records its outcome.
pub(crate) async fn act(
    wal: &Wal,
    workload: &Workload,
    action: &Action,
    recorder: &Recorder,
) -> Result<Acted, Error> {
    let id = action.id;
    recorder.attempt(id);
    if id.is_multiple_of(3) {
        recorder.durable(wal.durable_seq());
    }
    let outcome = match action.kind {
        ActionKind::Append => append(wal, &workload.payload(id)).await,
        ActionKind::Cancel { polls } => {
            match poll_at_most(polls, append(wal, &workload.payload(id))).await {
                Some(outcome) => outcome,
                None => return Ok(Acted::Nothing),
            }
        }
        ActionKind::Refused => {
            let mut payload = workload.payload(id);
            payload.resize(ENTRY_BYTES_MAX + 1, 0);
            wal.append(&payload).await
        }
    };
    match outcome {
        Ok(seq) => {
            recorder.ack(id, seq);
            Ok(Acted::At(seq))
        }
        Err(error) => record_failure(id, error, recorder),
    }
}

/// Polls a future so many times, then drops it. `None` if it was not ready by then.
pub async fn poll_at_most<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    })
    .await
}

/// Appends a payload as documents where its length allows, else as bytes; deletes are payloads of
/// ids alone.
async fn append(wal: &Wal, payload: &[u8]) -> Result<u64, Error> {
    let (ids, rest) = payload.as_chunks::<16>();
    let ids: Vec<u128> = ids.iter().map(|id| u128::from_le_bytes(*id)).collect();
    match (ids.as_slice(), rest) {
        ([doc, users @ ..], []) => {
            wal.append(&Delete {
                doc_ids: &[*doc],
                user_ids: users,
            })
            .await
        }
        ([doc, user, ..], [..]) if payload.len().is_multiple_of(4) => {
            let (floats, _) = payload[32..].as_chunks::<4>();
            let vectors: Vec<f32> = floats
                .iter()
                .map(|float| f32::from_le_bytes(*float))
                .collect();
            wal.append(&Insert {
                doc_ids: &[*doc],
                user_ids: &[*user],
                vectors: &vectors,
            })
            .await
        }
        _ => wal.append(payload).await,
    }
}

/// The payload that [`append`] made this entry from.
pub(crate) fn payload_of(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Bytes(bytes) => bytes.to_vec(),
        Entry::Documents(documents) => {
            let ids = documents.doc_ids().chain(documents.user_ids());
            let mut payload: Vec<u8> = ids.flat_map(u128::to_le_bytes).collect();
            if documents.op() == Op::Insert {
                payload.extend(documents.vectors().flat_map(f32::to_le_bytes));
            }
            payload
        }
    }
}
