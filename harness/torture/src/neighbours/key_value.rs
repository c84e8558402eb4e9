//! What is asked of a key-value store, and how it is driven.

use plugpull::{Recorder, SubjectError, Survivors, Workload};

/// The few things that a torture needs of a key-value store.
pub(super) trait KeyValue {
    fn put(&mut self, key: u64, value: &[u8]) -> Result<(), SubjectError>;
    fn delete(&mut self, key: u64) -> Result<(), SubjectError>;
    fn for_each(&self, visit: impl FnMut(u64, &[u8])) -> Result<(), SubjectError>;
}

/// One transaction a write, by one writer.
pub(super) fn write(
    mut store: impl KeyValue,
    workload: &Workload,
    recorder: &Recorder,
) -> Result<(), SubjectError> {
    for action in workload.actions(0) {
        let key = workload.key(action.id);
        if workload.deletes(action.id) {
            recorder.attempt_delete(action.id, key);
            store.delete(key)?;
        } else {
            recorder.attempt_put(action.id, key);
            store.put(key, &workload.payload(action.id))?;
        }
        recorder.ack(action.id, key);
    }
    Ok(())
}

/// Everything that is in the store.
pub(super) fn show(store: &impl KeyValue, survivors: &mut Survivors) -> Result<(), SubjectError> {
    store.for_each(|key, value| survivors.push(key, value))
}
