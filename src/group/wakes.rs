//! Wakers taken out of the members' slots, to be woken once the lock is free.

use core::mem;
use core::task::Waker;

/// Wakes when it is dropped, unless it was done before.
///
/// The first waker needs no memory, and that of the others is kept from group to group: a group
/// allocates nothing once its size has been seen.
#[derive(Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    /// Nobody yet, in memory from an earlier use.
    pub(super) fn reusing(others: Vec<Waker>) -> Self {
        debug_assert!(others.is_empty());
        Self {
            first: None,
            others,
        }
    }

    pub(super) fn add(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (None, Some(waker)) => self.first = Some(waker),
            (Some(_), Some(waker)) => self.others.push(waker),
            (_, None) => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Wakes everybody, in the order of their adding. Not under the lock: a waker may poll at once.
    pub(super) fn wake(&mut self) {
        self.first.take().into_iter().for_each(Waker::wake);
        self.others.drain(..).for_each(Waker::wake);
    }

    /// The memory, for another use. Everybody has been woken.
    pub(super) fn memory(&mut self) -> Vec<Waker> {
        debug_assert_eq!(self.len(), 0);
        mem::take(&mut self.others)
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.wake();
    }
}
