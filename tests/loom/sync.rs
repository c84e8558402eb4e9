//! Stands in for `src/sync.rs`: the locks are loom's.

pub(crate) use loom::sync::{Mutex, MutexGuard};
// Not loom's: it explores the order of every two drops of a reference, a hundred times the
// interleavings, and nothing here depends on which reference is dropped last. Loom's would also
// report what leaks; `World::at_rest` does.
pub(crate) use std::sync::{Arc, Weak};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("loom's locks are not poisoned")
}
