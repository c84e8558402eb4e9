//! What I/O that fails brings to light.

use plugpull::CrashKind;
use plugpull::oracle::Violation;

use crate::caught::{assert_broken, assert_caught, caught};
use crate::mistake::Mistake;

#[test]
fn fault_finds_a_failed_sync_that_is_tried_again() {
    assert_caught!(RetriesSync, Fault, Violation::LostAck { .. });
}

/// A sync fails, the process is started again, its sync succeeds, and then the power is lost.
#[test]
fn fault_finds_a_recovery_that_believes_what_memory_shows_after_a_failed_sync() {
    assert_caught!(ServesWhatAFailedSyncLeft, Fault, Violation::Unshown { .. });
}

/// The process has to die between the sync that fails and the call behind it.
#[test]
fn fault_finds_a_file_that_is_taken_over_half_made() {
    let violation = caught(Mistake::TakesOverAHalfMadeSegment, CrashKind::Fault);
    assert_broken(&violation, ["recovery failed", "is damaged"]);
}

#[test]
fn fault_finds_a_short_write_that_is_taken_for_a_whole_one() {
    assert_caught!(TakesShortWriteForWhole, Fault, Violation::LostAck { .. });
}

#[test]
fn fault_finds_half_a_group_that_a_failed_write_has_left() {
    assert_caught!(ForgetsRollback, Fault, Violation::Phantom { .. });
}

/// A disk that fails excuses a store that stops working, not one that does not stop.
#[test]
fn fault_finds_a_store_that_never_ends_after_an_error() {
    let violation = caught(Mistake::NeverEndsAfterAnError, CrashKind::Fault);
    assert_broken(&violation, ["the writer failed", "not come to an end"]);
}
