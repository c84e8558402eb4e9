//! Stores that are called by one thread at a time, and stores that need a runtime.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Runtime};

/// Locks a store. A panic of a writer ends the whole process, so that none is found poisoned.
pub(crate) fn lock<T>(store: &Mutex<T>) -> MutexGuard<'_, T> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store behind its lock.
pub(crate) fn into_inner<T>(store: Mutex<T>) -> T {
    store.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A runtime whose one thread works for the store in the background.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}
