//! What a failed model leaks.

use std::mem;

/// Something whose `Drop` takes locks. A model that has failed cannot lock any more, and should
/// report what it found instead of aborting: then it is leaked.
pub(crate) struct Fragile<T>(Option<T>);

impl<T> Fragile<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn get(&mut self) -> &mut T {
        self.0.as_mut().expect("taken at the end only")
    }

    pub(crate) fn take(mut self) -> T {
        self.0.take().expect("taken at the end only")
    }
}

impl<T> Drop for Fragile<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            mem::forget(self.0.take());
        }
    }
}
