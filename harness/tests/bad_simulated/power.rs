//! What a loss of power brings to light.

use plugpull::CrashKind;
use plugpull::oracle::Violation;

use crate::caught::{assert_broken, assert_caught, caught};
use crate::entry::SLOTS;
use crate::mistake::Mistake;

#[test]
fn power_finds_an_acknowledgement_before_the_sync() {
    assert_caught!(AcksBeforeSync, Power, Violation::LostAck { .. });
}

/// An error that the disk gives in order is none of those from which on crash states are looked at.
#[test]
fn power_finds_the_same_in_a_life_that_ends_with_an_error_of_its_own() {
    assert_caught!(AcksBeforeSyncAndTidiesUp, Power, Violation::LostAck { .. });
}

#[test]
fn power_finds_a_sync_before_the_write() {
    assert_caught!(SyncsBeforeWrite, Power, Violation::LostAck { .. });
}

#[test]
fn power_finds_a_new_file_without_a_durable_name() {
    // Recovery has made the first one's durable.
    let first_of_the_next = SLOTS;
    let violation = caught(Mistake::NoDirectorySync, CrashKind::Power);
    assert!(
        matches!(violation, Violation::LostAck { position, .. } if position == first_of_the_next),
        "{violation:?}"
    );
}

#[test]
fn power_finds_a_name_that_is_durable_before_its_bytes() {
    let violation = caught(Mistake::RenamesUnsynced, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "segment 0 is damaged"]);
}

#[test]
fn power_finds_an_old_file_that_is_not_synced_before_the_new_one_takes_over() {
    assert_caught!(LeavesOldSegmentUnsynced, Power, Violation::LostAck { .. });
}

/// Killed, recovered, and then the power is lost: what was shown goes, or what a writer has added behind it.
#[test]
fn power_finds_a_recovery_that_serves_what_is_not_durable() {
    assert_caught!(
        ServesUnsynced,
        Power,
        Violation::Unshown { found: None, .. } | Violation::LostAck { .. }
    );
}

#[test]
fn power_finds_old_frames_behind_a_cut() {
    assert_caught!(LeavesStaleFrames, Power, Violation::Resurrected { .. });
}

#[test]
fn power_finds_a_torn_entry_that_is_counted() {
    // What was acknowledged behind it stands one lower; nothing stands where the last one was.
    assert_caught!(
        CountsTornEntry,
        Power,
        Violation::WrongAck { .. } | Violation::LostAck { .. }
    );
}

#[test]
fn power_finds_a_replay_across_a_hole() {
    assert_caught!(ReplaysAcrossHoles, Power, Violation::Hole { .. });
}

#[test]
fn power_finds_a_trim_that_begins_at_the_wrong_end() {
    let violation = caught(Mistake::UnlinksNewestFirst, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "is missing"]);
}
