//! At most one call that changes the directory is in flight.
//!
//! Without the gate a snapshot is not a crash state:
//!
//! ```text
//!   thread A                        thread B            snapshot
//!   stopped before its rename                           copies file 1
//!                                   writes to file 1
//!                                   writes to file 2    copies file 2
//! ```
//!
//! has B's second write without its first. So B is held at its stop until A's call is over. Calls
//! elsewhere never come here, so a thread that waits for another through a pipe or a futex is no
//! danger: a call that comes here waits for the disk only.

use std::collections::VecDeque;

/// Who is in, and who waits, in order of arrival.
#[derive(Debug)]
pub(super) struct Gate<T> {
    inside: Option<T>,
    waiting: VecDeque<T>,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Self {
            inside: None,
            waiting: VecDeque::new(),
        }
    }
}

impl<T: Copy + PartialEq> Gate<T> {
    /// Whether the task may go in now; otherwise it is queued.
    pub(super) fn enter(&mut self, task: T) -> bool {
        if self.inside.is_none() {
            self.inside = Some(task);
            return true;
        }
        self.waiting.push_back(task);
        false
    }

    /// The task is through, or gone. If that lets another one in, it is returned.
    pub(super) fn leave(&mut self, task: T) -> Option<T> {
        self.waiting.retain(|waiting| *waiting != task);
        if self.inside != Some(task) {
            return None;
        }
        self.inside = self.waiting.pop_front();
        self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[test]
    fn tasks_go_in_one_at_a_time_in_order_of_arrival() {
        let mut gate = Gate::default();
        assert!(gate.enter(1));
        assert!(!gate.enter(2));
        assert!(!gate.enter(3));
        assert_eq!(gate.leave(1), Some(2));
        assert!(!gate.enter(1));
        assert_eq!(gate.leave(2), Some(3));
        assert_eq!(gate.leave(3), Some(1));
        assert_eq!(gate.leave(1), None);
        assert!(gate.enter(4));
    }

    #[test]
    fn a_task_that_dies_while_it_waits_is_passed_over() {
        let mut gate = Gate::default();
        assert!(gate.enter(1));
        assert!(!gate.enter(2));
        assert!(!gate.enter(3));
        assert_eq!(gate.leave(2), None);
        assert_eq!(gate.leave(1), Some(3));
    }
}
