//! A store that fails or never ends by itself.

use plugpull::CrashKind;

use crate::caught::{assert_broken, caught};
use crate::mistake::Mistake;

#[test]
fn a_panic_in_the_writer_is_told_with_its_message() {
    for kind in [CrashKind::Power, CrashKind::Fault] {
        let violation = caught(Mistake::PanicsInWriter, kind);
        assert_broken(&violation, ["the writer failed", "panicked: no more paper"]);
    }
}

#[test]
fn an_error_in_recovery_is_told_in_the_store_s_words() {
    let violation = caught(Mistake::FailsInRecovery, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "two segments are too many"]);
}

#[test]
fn a_store_that_never_ends_is_stopped_by_the_file_system() {
    let violation = caught(Mistake::NeverEnds, CrashKind::Power);
    assert_broken(&violation, ["the writer failed", "has not come to an end"]);
}

/// It costs memory to keep what it does: it is stopped long before one that only reads.
#[test]
fn a_store_that_never_ends_writing_is_stopped_by_the_file_system() {
    let violation = caught(Mistake::NeverEndsWriting, CrashKind::Power);
    assert_broken(&violation, ["the writer failed", "has not come to an end"]);
}
