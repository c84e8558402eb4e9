//! What a log does at the limits of its process. `docs/limits.md` has the table.

mod stage;

use std::collections::BTreeMap;
use std::path::Path;

use groupwal::inspect::Reader;
use groupwal::salvage::Salvage;
use groupwal::{Builder, EngineKind, Error, Options, Result, Wal};
use nix::sys::resource::{Resource, setrlimit};
use stage::alone::{alone, is_root, skip};
use stage::cgroup::Cgroup;
use stage::os::{contents, engines, fill, run, scratch, small};

/// More than any of the limits lets be open at once.
const SEGMENTS: usize = 200;

/// What came of each operation: nothing, or its error.
type Outcomes = BTreeMap<&'static str, Option<Error>>;

/// A log of many segments, made without limits.
fn log(dir: &Path, options: Options) -> u64 {
    run(async {
        let wal = Wal::open(dir, options).await.unwrap();
        fill(&wal, 1, SEGMENTS).await;
        wal.durable_seq()
    })
}

/// Everything that can be done with a log.
async fn operations(engine: EngineKind, dir: &Path, entries: u64) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut note = |operation, outcome: Result<()>| {
        outcomes.insert(operation, outcome.err());
    };
    note("verify", verify(dir, entries));
    note("salvage", salvage(dir));
    note("build", build(&dir.with_extension("built")));
    let wal = match Wal::open(dir, small(engine)).await {
        Ok(wal) => wal,
        Err(error) => {
            note("open", Err(error));
            return outcomes;
        }
    };
    note("open", Ok(()));
    note("append", wal.append(b"small").await.map(drop));
    assert_eq!(contents(&wal, 0).await.len() as u64, wal.durable_seq());
    note("replay", Ok(()));
    note("rotate", rotate(&wal).await);
    note("trim", wal.trim(entries / 2).await);
    note("append again", wal.append(b"small").await.map(drop));
    note("close", wal.close().await);
    let next = wal.durable_seq();
    drop(wal);
    let opened = Wal::open(dir, small(engine)).await;
    note(
        "reopen",
        opened.map(|wal| assert_eq!(wal.durable_seq(), next)),
    );
    outcomes
}

async fn rotate(wal: &Wal) -> Result<()> {
    for _ in 0..20 {
        wal.append(&[2; 7000][..]).await?;
    }
    Ok(())
}

fn verify(dir: &Path, entries: u64) -> Result<()> {
    let mut reader = Reader::open(dir)?.strict();
    while reader.next_group()?.is_some() {}
    assert_eq!(reader.report().next_seq, entries);
    Ok(())
}

fn salvage(dir: &Path) -> Result<()> {
    let salvage = Salvage::survey(dir, &mut |_| true)?;
    salvage.write(dir.with_extension("salvaged"), &mut |_| true)?;
    Ok(())
}

fn build(path: &Path) -> Result<()> {
    let mut builder = Builder::create(path, 0, &small(EngineKind::Inline))?;
    for _ in 0..100 {
        builder.push(&[3; 7000][..])?;
    }
    builder.finish().map(drop)
}

/// Runs all operations under each engine, on logs that were made before the limit was set.
fn under(limit: impl Fn()) -> Vec<(EngineKind, Outcomes)> {
    under_with(&small(EngineKind::Blocking), limit)
}

/// [`under`] with logs that were made with these options.
fn under_with(options: &Options, limit: impl Fn()) -> Vec<(EngineKind, Outcomes)> {
    let dir = scratch();
    let logs = engines().into_iter().map(|engine| {
        let path = dir.path().join(format!("{engine:?}"));
        let entries = log(&path, options.clone());
        (engine, path, entries)
    });
    let logs: Vec<_> = logs.collect();
    limit();
    let outcomes = logs.into_iter().map(|(engine, path, entries)| {
        let outcomes = run(operations(engine, &path, entries));
        (engine, outcomes)
    });
    outcomes.collect()
}

#[track_caller]
fn all_is_well(outcomes: Vec<(EngineKind, Outcomes)>) {
    for (engine, outcomes) in outcomes {
        assert_eq!(outcomes.len(), 11);
        for (operation, error) in outcomes {
            assert!(
                error.is_none(),
                "{engine:?}, {operation}: {}",
                error.unwrap()
            );
        }
    }
}

#[test]
fn few_descriptors_are_enough() {
    if alone(&[]) {
        all_is_well(under(|| {
            setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
        }));
    }
}

#[test]
fn little_address_space_is_enough() {
    if alone(&[]) {
        let bytes = 1 << 30;
        all_is_well(under(|| {
            setrlimit(Resource::RLIMIT_AS, bytes, bytes).unwrap();
        }));
    }
}

#[test]
fn little_memory_is_enough() {
    if !is_root() {
        return skip("needs root and a cgroup that limits memory");
    }
    if !alone(&[]) {
        return;
    }
    let version_1 = Cgroup::enter("memory", "memory.limit_in_bytes");
    let (cgroup, limit) = match version_1 {
        Some(cgroup) => (cgroup, "memory.limit_in_bytes"),
        None => match Cgroup::enter("memory", "memory.max") {
            Some(cgroup) => (cgroup, "memory.max"),
            None => return skip("there is no cgroup controller `memory` here"),
        },
    };
    // Twelve mebibytes of segments, and the page cache counts.
    all_is_well(under(|| cgroup.set(limit, "16777216")));
}

/// A new segment may not get as long as it is to be. What exists is written on; what needs a new file is
/// refused, and the log goes on.
#[test]
fn a_limit_of_file_sizes_fails_what_needs_a_new_segment_and_nothing_else() {
    if !alone(&["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""]) {
        return;
    }
    let bytes = 32 << 10;
    let short = small(EngineKind::Blocking)
        .segment_bytes(24 << 10)
        .group_bytes_max(10 << 10);
    let limited = under_with(&short, || {
        setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes).unwrap();
    });
    for (engine, outcomes) in limited {
        assert_eq!(outcomes.len(), 11);
        for (operation, error) in outcomes {
            let needs_a_file = ["salvage", "build", "rotate", "append again"];
            let fails = needs_a_file.contains(&operation);
            assert_eq!(error.is_some(), fails, "{engine:?}, {operation}: {error:?}");
            let Some(error) = error else { continue };
            let message = error.to_string();
            assert!(message.contains("File too large"), "{message}");
            assert!(message.contains("ulimit -f"), "{message}");
            if ["rotate", "append again"].contains(&operation) {
                assert!(error.is_not_written() && !error.is_poisoned(), "{message}");
            }
        }
    }
}
