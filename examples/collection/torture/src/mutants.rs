//! Who looks at the mutants of the collection.

use std::path::Path;
use std::time::Duration;

use plugpull::CrashKind;
use plugpull::mutants::{Catcher, Mutants};

/// `examples/collection/mutants/*.patch`, and who may notice one.
pub fn mutants() -> Mutants {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = here
        .ancestors()
        .nth(3)
        .expect("examples/collection/torture");
    let mut mutants = Mutants::new(tree, "examples/collection/mutants")
        .touching("examples/collection/src")
        .called("cargo run --release -p collection-torture -- mutants");
    for (kind, seconds) in [
        (CrashKind::Power, 30),
        (CrashKind::Fault, 30),
        (CrashKind::Kill, 30),
        (CrashKind::Disk, 60),
    ] {
        let catcher = Catcher::torture(kind, "collection-torture", "collection");
        mutants = mutants.catcher(catcher.budget(Duration::from_secs(seconds)));
    }
    mutants.catcher(
        Catcher::tests("tests", "collection", &["it"])
            .sees("what the service promises: input, failures, the order of a flush, a model"),
    )
}
