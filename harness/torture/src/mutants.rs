//! Who looks at the mutants of groupwal.

use std::path::Path;
use std::time::Duration;

use plugpull::CrashKind;
use plugpull::mutants::{Catcher, Mutants};

/// `harness/torture/mutants/*.patch`, and everything in this repository that may notice one.
pub fn mutants() -> Mutants {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = here.ancestors().nth(2).expect("harness/torture");
    let mut mutants = Mutants::new(tree, "harness/torture/mutants")
        .touching("src")
        .called("cargo torture mutants");
    // As long as each takes for the slowest of what it must catch, on a machine that does four other things.
    for (kind, seconds) in [
        (CrashKind::Power, 40),
        (CrashKind::Fault, 60),
        (CrashKind::Rot, 30),
        (CrashKind::Kill, 15),
        (CrashKind::Syscall, 15),
        (CrashKind::Disk, 30),
    ] {
        let catcher = Catcher::torture(kind, "torture", "groupwal");
        mutants = mutants.catcher(catcher.budget(Duration::from_secs(seconds)));
    }
    mutants = as_it_runs(mutants);
    let tests = [
        "cancel",
        "damage",
        "engines",
        "environment",
        "executor",
        "faults",
        "full_disk",
        "interrupted",
        "large",
        "locks",
        "memory",
        "missing",
        "model",
        "moved",
        "prepare",
        "reading",
        "recovery",
        "replay",
        "runtimes",
        "segments",
        "spares",
        "submissions",
        "threads",
    ];
    let fuzz = "cargo +nightly fuzz run {argument}";
    mutants
        .catcher(
            Catcher::tests("loom", "groupwal", &["loom"])
                .sees("races in the write groups, every interleaving; no disk"),
        )
        .catcher(
            Catcher::tests("properties", "groupwal", &["properties"])
                .sees("formats and small logs, against a model"),
        )
        .catcher(
            Catcher::tests("tests", "groupwal", &tests)
                .sees("what is not about crashes: progress, errors, limits, who waits for whom"),
        )
        .catcher(
            Catcher::command(
                "cli",
                "cargo test --quiet -p groupwal --features cli --test cli --no-run",
                "cargo test --quiet -p groupwal --features cli --test cli {argument}",
                "",
            )
            .sees("what the command-line tool does with logs of every kind"),
        )
        .catcher(
            Catcher::command(
                "unit",
                "cargo test --quiet -p groupwal --lib --no-run",
                "cargo test --quiet -p groupwal --lib {argument}",
                "",
            )
            .sees("the few lines that talk to the kernel, one by one"),
        )
        .catcher(
            Catcher::command(
                "fuzz",
                "cargo +nightly fuzz build {argument} && \
                 cargo run --quiet --manifest-path fuzz/Cargo.toml --bin seed",
                &format!("{fuzz} -- -max_total_time={{budget}} -seed=1"),
                "recover",
            )
            .sees("arbitrary bytes in the decoders")
            .needs(
                "cargo +nightly fuzz --version",
                "needs a nightly toolchain and `cargo install cargo-fuzz`",
            ),
        )
}

/// Power loss of the log as it runs, by its own system calls and requests.
fn as_it_runs(mutants: Mutants) -> Mutants {
    // On a file system that takes self-syncing writes past the page cache, as a log on a disk has it.
    let traced = "cargo run --release --quiet -p torture -- run groupwal --crash power \
                  --recorder trace --engine blocking --jobs 2 --seed 1 --duration {budget}s \
                  --dir \"$CARGO_TARGET_DIR\" --out \"$CARGO_TARGET_DIR/plugpull\"";
    let mutants = mutants.catcher(
        Catcher::command(
            "power-trace",
            "cargo build --release -p torture",
            traced,
            "",
        )
        .budget(Duration::from_secs(30))
        .sees("what power loss leaves of the log's own system calls, under ptrace"),
    );
    let mounted = "cargo run --release --quiet -p torture -- run groupwal --crash power \
                   --recorder mount --engine {argument} --jobs 2 --seed 1 --duration {budget}s \
                   --out \"$CARGO_TARGET_DIR/plugpull\"";
    mutants.catcher(
        Catcher::command(
            "power-mount",
            "cargo build --release -p torture",
            mounted,
            "uring",
        )
        .budget(Duration::from_secs(30))
        .sees("what power loss leaves of the log's ring, on a mounted file system")
        .needs(
            "test \"$(id -u)\" = 0 && test -e /sys/devices/virtual/misc/fuse/dev",
            "needs root and FUSE",
        ),
    )
}
