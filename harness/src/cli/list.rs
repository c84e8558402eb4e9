//! `list`: subjects and crash kinds.

use crate::kinds::REGISTRY;
use crate::subject::Subject;

pub(super) fn list(subjects: &[&dyn Subject]) {
    println!("Subjects:");
    for subject in subjects {
        println!(
            "  {}  (engines: {})",
            subject.name(),
            subject.engines().join(", ")
        );
        if let Some(why) = subject.exhibit() {
            println!("    an exhibit, run by name and expected to fail: {why}");
        }
    }
    println!("Crash kinds:");
    for kind in REGISTRY {
        println!("  {}  {}", kind.id(), kind.describe());
    }
}
