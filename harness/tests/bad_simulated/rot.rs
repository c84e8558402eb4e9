//! What damaged bytes bring to light.

use plugpull::CrashKind;
use plugpull::oracle::Violation;

use crate::caught::{assert_broken, assert_caught, caught};
use crate::mistake::Mistake;

#[test]
fn rot_finds_flipped_bits_that_are_accepted() {
    assert_caught!(AcceptsFlippedBits, Rot, Violation::Mangled { .. });
}

#[test]
fn rot_finds_a_panic_in_the_recovery_of_damaged_bytes() {
    let violation = caught(Mistake::PanicsOnDamage, CrashKind::Rot);
    let parts = ["recovery of damaged bytes", "panicked: this cannot be"];
    assert_broken(&violation, parts);
}

/// Damage excuses a store that refuses, not one that looks for ever.
#[test]
fn rot_finds_a_recovery_of_damaged_bytes_that_never_ends() {
    let violation = caught(Mistake::NeverEndsOnDamage, CrashKind::Rot);
    assert_broken(
        &violation,
        ["recovery of damaged bytes", "not come to an end"],
    );
}
