//! The one place that names `std::sync`.
//!
//! `group.rs` is compiled a second time by `tests/loom.rs`, where `tests/loom/sync.rs` takes the
//! place of this file and hands out loom's types, so that loom sees every lock that the write groups
//! take.

pub(crate) use std::sync::atomic;
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, Weak};
use std::sync::{RwLockReadGuard, RwLockWriteGuard};

/// Locks `mutex`, whether or not a thread panicked while it held it.
///
/// No foreign code runs under a lock in this crate (encoders are sealed, wakers are woken outside),
/// so a poisoned std mutex says nothing about the log. What a panic means for the log is decided by
/// the flush it interrupts.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// [`lock`] for readers of something that is seldom written.
pub(crate) fn read<T>(locked: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    locked
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// [`lock`] for its writers.
pub(crate) fn write<T>(locked: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    locked
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
