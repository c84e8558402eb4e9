//! `power`: by the seam where a store has one, else by the tracer.

use super::chosen::SeamOrRun;
use super::simulated;

/// The crash kind.
pub(super) static POWER: SeamOrRun<simulated::Power> = SeamOrRun {
    seam: simulated::Power,
    description: "power is lost at any operation, in recovery too, by the rules of POSIX or of a file system: on the \
         simulated file system, or under trace for any program; finds missing and misplaced syncs, of \
         directories too, wrong orders, torn writes; cannot find what needs a real disk",
    allows: |_, _| Ok(()),
};
