//! Errors of the disk: who gets them, and what they leave.

use std::collections::BTreeSet;
use std::io;

use plugpull::sim::Profile::{Ext4Ordered, Strict, Xfs};
use plugpull::sim::{Fault, FaultKind, Profile, SimFile, SimFs};

use crate::bytes::{durable, write};
use crate::outcomes::{outcomes, tell};

pub(crate) const EIO: i32 = 5;
const ENOSPC: i32 = 28;

pub(crate) fn plan(fs: &SimFs, kind: FaultKind, after: u32) {
    fs.plan_faults(&[Fault { kind, after }]);
}

pub(crate) fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result
        .err()
        .map(|error| error.raw_os_error().expect("an error of the system"))
}

pub(crate) fn only(outcome: &str) -> BTreeSet<String> {
    [outcome.to_owned()].into()
}

/// An operation that a fault of this kind concerns.
fn concerned(kind: FaultKind, fs: &SimFs, file: &SimFile, round: usize) -> Option<i32> {
    let new = format!("/new{round}");
    match kind {
        FaultKind::Sync if round.is_multiple_of(2) => errno(file.sync_data()),
        FaultKind::Sync => errno(file.sync_all()),
        FaultKind::SyncDir => errno(fs.sync_dir("/")),
        FaultKind::Write => errno(file.write_at(b"x", 0)),
        FaultKind::ShortWrite => {
            let written = file.write_at(b"xxxx", 0).unwrap();
            (written < 4).then_some(0)
        }
        FaultKind::Read if round.is_multiple_of(2) => errno(file.read_at(&mut [0; 4], 0)),
        FaultKind::Read => errno(fs.read_dir("/")),
        FaultKind::Create if round.is_multiple_of(2) => errno(fs.create(&new)),
        FaultKind::Create => errno(fs.create_dir(&new)),
        FaultKind::Rename => {
            fs.write("/old", b"").unwrap();
            errno(fs.rename("/old", &new))
        }
        FaultKind::NoSpace { .. } => match round % 3 {
            0 => errno(file.write_at(b"x", file.len().unwrap())),
            1 => errno(file.set_len(file.len().unwrap() + 1)),
            _ => errno(fs.create(&new)),
        },
    }
}

/// Operations that no fault of this kind concerns.
fn go_well(kind: FaultKind, fs: &SimFs, file: &SimFile) {
    if kind != FaultKind::Sync {
        file.sync_data().unwrap();
    }
    if kind != FaultKind::SyncDir {
        fs.sync_dir("/").unwrap();
    }
    if !matches!(kind, FaultKind::Write | FaultKind::ShortWrite) {
        write(file, b'y', 2, 0);
    }
    if kind != FaultKind::Read {
        file.read_at(&mut [0; 2], 0).unwrap();
    }
    if !matches!(kind, FaultKind::NoSpace { .. }) {
        file.set_len(file.len().unwrap() + 1).unwrap();
    }
    file.set_len(8).unwrap();
}

#[test]
fn the_operation_that_was_planned_to_fail_does() {
    for kind in FaultKind::ALL {
        for after in [0, 1, 4] {
            let fs = SimFs::new(Ext4Ordered, 1);
            let file = durable(&fs, "/f", &[b'a'; 8]);
            plan(&fs, kind, after);
            let mut failed = Vec::new();
            for round in 0..10 {
                go_well(kind, &fs, &file);
                failed.push(concerned(kind, &fs, &file, round));
            }
            let (errno, times) = match kind {
                FaultKind::NoSpace { lasting } => (ENOSPC, lasting as usize),
                FaultKind::ShortWrite => (0, 1),
                _ => (EIO, 1),
            };
            let mut expected = vec![None; 10];
            expected[after as usize..][..times].fill(Some(errno));
            assert_eq!(failed, expected, "{kind:?} after {after}");
            assert_eq!(fs.faults_injected() as usize, times, "{kind:?}");
        }
    }
}

#[test]
fn several_faults_are_counted_apart() {
    let fs = SimFs::new(Ext4Ordered, 1);
    let file = durable(&fs, "/f", b"");
    let fault = |kind, after| Fault { kind, after };
    fs.plan_faults(&[
        fault(FaultKind::Write, 1),
        fault(FaultKind::Sync, 0),
        fault(FaultKind::Write, 2),
    ]);
    assert_eq!(errno(file.write_at(b"x", 0)), None);
    assert_eq!(errno(file.sync_data()), Some(EIO));
    assert_eq!(errno(file.write_at(b"x", 0)), Some(EIO));
    assert_eq!(errno(file.write_at(b"x", 0)), Some(EIO));
    assert_eq!(errno(file.write_at(b"x", 0)), None);
    assert_eq!(errno(file.sync_data()), None);
    assert_eq!(fs.faults_injected(), 3);
}

#[test]
fn faults_end_with_the_process() {
    let fs = SimFs::new(Strict, 1);
    plan(&fs, FaultKind::Create, 0);
    assert_eq!(errno(fs.crash_sample(1).create("/f")), None);
    assert_eq!(errno(fs.kill_clone().create("/f")), None);
    assert_eq!(errno(fs.create("/f")), Some(EIO));
}

#[test]
fn a_failed_write_leaves_any_part_of_it() {
    let mut left = BTreeSet::new();
    for seed in 0..100 {
        let fs = SimFs::new(Strict, seed);
        let file = durable(&fs, "/f", b"aaaa");
        plan(&fs, FaultKind::Write, 0);
        assert_eq!(errno(file.write_at(b"bbbb", 2)), Some(EIO));
        left.insert(tell(&fs));
    }
    let parts = ["/f a4", "/f a2 b1 a1", "/f a2 b2", "/f a2 b3", "/f a2 b4"];
    assert_eq!(left, parts.map(str::to_owned).into());
}

#[test]
fn a_short_write_wrote_what_it_says() {
    let mut lens = BTreeSet::new();
    for seed in 0..100 {
        let fs = SimFs::new(Strict, seed);
        let file = durable(&fs, "/f", b"aaaa");
        plan(&fs, FaultKind::ShortWrite, 0);
        let len = file.write_at(b"bbbb", 4).unwrap();
        assert_eq!(tell(&fs), format!("/f a4 b{len}"));
        lens.insert(len);
    }
    assert_eq!(lens, [1, 2, 3].into());
}

#[test]
fn a_full_disk_takes_any_part_of_a_write_or_nothing() {
    let mut written = BTreeSet::new();
    for seed in 0..500 {
        let fs = SimFs::new(Ext4Ordered, seed);
        let file = durable(&fs, "/f", b"");
        plan(&fs, FaultKind::NoSpace { lasting: 2 }, 0);
        let mut lens = [0; 2];
        for len in &mut lens {
            let at = fs.read("/f").unwrap().len();
            let result = file.write_at(b"bbbb", at as u64);
            *len = result.unwrap_or_else(|error| {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                0
            });
        }
        assert_eq!(fs.read("/f").unwrap().len(), lens[0] + lens[1]);
        assert_eq!(fs.faults_injected(), 2);
        written.insert(lens);
    }
    let all = (0..4).flat_map(|one| (0..4).map(move |other| [one, other]));
    assert_eq!(written, all.collect());
}

#[test]
fn a_full_disk_has_room_for_what_takes_none() {
    for profile in Profile::ALL {
        let fs = SimFs::new(profile, 1);
        let file = durable(&fs, "/f", b"aaaa");
        plan(&fs, FaultKind::NoSpace { lasting: 1 }, 0);
        file.set_len(3).unwrap();
        fs.rename("/f", "/g").unwrap();
        fs.remove_file("/g").unwrap();
        file.sync_all().unwrap();
        file.read_at(&mut [0; 1], 0).unwrap();
        // In place, or to a new one.
        let in_place = matches!(profile, Ext4Ordered | Xfs);
        let overwritten = errno(file.write_at(b"b", 0));
        assert_eq!(overwritten, (!in_place).then_some(ENOSPC), "{profile}");
        let grown = errno(file.write_at(b"b", 3));
        assert_eq!(grown, in_place.then_some(ENOSPC), "{profile}");
        assert_eq!(errno(file.write_at(b"b", 3)), None, "{profile}");
    }
}

#[test]
fn what_is_created_or_renamed_with_an_error_is_not() {
    let fs = SimFs::new(Strict, 1);
    durable(&fs, "/f", b"a");
    for kind in [FaultKind::Create, FaultKind::NoSpace { lasting: 1 }] {
        plan(&fs, kind, 0);
        assert!(errno(fs.create("/new")).is_some());
        plan(&fs, kind, 0);
        assert!(errno(fs.create_dir("/new")).is_some());
    }
    plan(&fs, FaultKind::Rename, 0);
    assert_eq!(errno(fs.rename("/f", "/new")), Some(EIO));
    assert_eq!(tell(&fs), "/f a1");
    assert_eq!(outcomes(&fs), only("/f a1"));
}

#[test]
fn the_same_seed_gives_the_same_errors() {
    let run = |seed| {
        let fs = SimFs::new(Strict, seed);
        let file = durable(&fs, "/f", &[b'a'; 5000]);
        let fault = |kind| Fault { kind, after: 0 };
        fs.plan_faults(&[fault(FaultKind::Write), fault(FaultKind::Sync)]);
        assert_eq!(errno(file.write_at(&[b'c'; 4000], 500)), Some(EIO));
        assert_eq!(errno(file.sync_all()), Some(EIO));
        tell(&fs.crash_sample(1))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
