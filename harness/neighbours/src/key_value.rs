//! What is asked of a key-value store, and how it is driven.

use plugpull::{Action, Recorder, SubjectError, Survivors, Workload};

/// The few things that a torture needs of a key-value store. A write is durable when it has returned, if the
/// store is opened in a durable mode.
pub(crate) trait KeyValue: Sync + Sized {
    /// Whether a thread of a store that is dropped goes on for a while. Such a store is always closed: the thread
    /// would work in the next crash state, which has the same path.
    const OUTLIVES_DROP: bool = false;

    /// Sets the value of a key, or removes it. Each key is written by one thread.
    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError>;

    /// Everything that is in the store.
    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError>;

    /// Closes the store by the call that it has for that.
    fn close(self) -> Result<(), SubjectError> {
        Ok(())
    }
}

/// One write to the store: announced, done, announced.
pub(crate) fn write(
    store: &impl KeyValue,
    workload: &Workload,
    recorder: &Recorder,
    action: &Action,
) -> Result<(), SubjectError> {
    let key = workload.key(action.id);
    let written = if workload.deletes(action.id) {
        recorder.attempt_delete(action.id, key);
        store.set(key, None)
    } else {
        recorder.attempt_put(action.id, key);
        store.set(key, Some(&workload.payload(action.id)))
    };
    match written {
        Ok(()) => recorder.ack(action.id, key),
        Err(_) => recorder.failed(action.id),
    }
    written
}

/// Lets go of the store.
pub(crate) fn leave<S: KeyValue>(store: S, close: bool) -> Result<(), SubjectError> {
    if close || S::OUTLIVES_DROP {
        store.close()
    } else {
        Ok(())
    }
}

/// Everything that is in the store, as survivors, by key: not every store has an order.
pub(crate) fn show(store: &impl KeyValue, survivors: &mut Survivors) -> Result<(), SubjectError> {
    let mut entries = Vec::new();
    store.for_each(&mut |key, value| entries.push((key, value.to_vec())))?;
    entries.sort();
    for (key, value) in entries {
        survivors.push(key, &value);
    }
    Ok(())
}

/// A key that was stored as eight bytes, the most significant first.
pub(crate) fn key_of(bytes: &[u8]) -> Result<u64, SubjectError> {
    Ok(u64::from_be_bytes(bytes.try_into()?))
}
