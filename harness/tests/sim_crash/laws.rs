//! Laws that hold for every program, on every profile.

use std::collections::BTreeSet;

use plugpull::sim::{Fault, FaultKind, PAGE_BYTES, Profile, Replayed, SECTOR_BYTES, SimFs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bytes::{durable, open, write};
use crate::directories::durable_dir;
use crate::outcomes::{all_outcomes, outcomes, tell};
use crate::program::{LARGE, SMALL, Step, config, profile, program, run, sync_everything, tree};

fn ran(profile: Profile, steps: &[Step]) -> SimFs {
    let fs = SimFs::new(profile, 1);
    run(&fs, steps);
    fs
}

fn profile_but(exception: Profile) -> impl Strategy<Value = Profile> {
    select(
        Profile::ALL
            .into_iter()
            .filter(|profile| *profile != exception)
            .collect::<Vec<_>>(),
    )
}

/// The one outcome there is.
fn only_outcome(fs: &SimFs) -> String {
    let found = outcomes(fs);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn answers_of_zero_lose_nothing(
        steps in program(LARGE),
        profile in profile_but(Profile::SyncedOnly),
    ) {
        let fs = ran(profile, &steps);
        let crashed = fs.crash_clone(&mut Replayed::new(&[]));
        prop_assert_eq!(tell(&crashed), tell(&fs));
        prop_assert_eq!(crashed.fingerprint(), fs.fingerprint());
    }

    #[test]
    fn what_is_synced_is_certain(steps in program(SMALL), profile in profile()) {
        let fs = ran(profile, &steps);
        sync_everything(&fs);
        prop_assert_eq!(only_outcome(&fs), tell(&fs));
    }

    #[test]
    fn what_is_synced_survives_whatever_is_drawn(
        steps in program(LARGE),
        profile in profile(),
        seed in any::<u64>(),
    ) {
        let fs = ran(profile, &steps);
        sync_everything(&fs);
        prop_assert_eq!(tell(&fs.crash_sample(seed)), tell(&fs));
    }

    #[test]
    fn another_crash_changes_nothing(
        steps in program(LARGE),
        profile in profile(),
        seed in any::<u64>(),
    ) {
        let crashed = ran(profile, &steps).crash_sample(seed);
        prop_assert_eq!(only_outcome(&crashed), tell(&crashed));
        prop_assert_eq!(only_outcome(&crashed.kill_clone()), tell(&crashed));
    }

    #[test]
    fn the_same_seed_gives_the_same_crash(
        steps in program(LARGE),
        profile in profile(),
        seed in any::<u64>(),
    ) {
        let [one, other] = [(), ()].map(|()| ran(profile, &steps).crash_sample(seed));
        let (files, dirs) = tree(&one);
        prop_assert_eq!(&(files.clone(), dirs), &tree(&other));
        for path in files {
            prop_assert_eq!(one.read(&path).unwrap(), other.read(&path).unwrap(), "{}", path);
        }
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
    }

    #[test]
    fn a_kill_loses_nothing_and_makes_nothing_durable(steps in program(SMALL), profile in profile()) {
        let fs = ran(profile, &steps);
        let killed = fs.kill_clone();
        prop_assert_eq!(tell(&killed), tell(&fs));
        prop_assert_eq!(all_outcomes(&killed), all_outcomes(&fs));
    }

    #[test]
    fn strict_allows_what_any_profile_allows(steps in program(SMALL), profile in profile()) {
        let strict = all_outcomes(&ran(Profile::Strict, &steps));
        let some = all_outcomes(&ran(profile, &steps));
        if let (Some(strict), Some(some)) = (strict, some) {
            let more: Vec<_> = some.difference(&strict).collect();
            prop_assert!(more.is_empty(), "{} allows {:?}", profile, more);
        }
    }

    #[test]
    fn the_disk_may_have_done_nothing_yet(
        steps in program(SMALL),
        profile in profile_but(Profile::Everything),
    ) {
        let fs = SimFs::new(profile, 1);
        for step in &steps {
            let before = all_outcomes(&fs);
            run(&fs, std::slice::from_ref(step));
            if let (Some(before), Some(after)) = (before, all_outcomes(&fs)) {
                let gone: Vec<_> = before.difference(&after).collect();
                prop_assert!(step.is_sync() || gone.is_empty(), "{:?} takes {:?} away", step, gone);
            }
        }
    }

    #[test]
    fn a_sync_takes_outcomes_away_and_adds_none(
        steps in program(SMALL),
        profile in select(vec![Profile::Ext4Ordered, Profile::Xfs]),
    ) {
        let fs = SimFs::new(profile, 1);
        for step in &steps {
            let before = all_outcomes(&fs);
            run(&fs, std::slice::from_ref(step));
            if let (true, Some(before), Some(after)) = (step.is_sync(), before, all_outcomes(&fs)) {
                let new: Vec<_> = after.difference(&before).collect();
                prop_assert!(new.is_empty(), "{:?} adds {:?}", step, new);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn the_run_goes_on_undisturbed(
        steps in program(LARGE),
        profile in profile(),
        seed in any::<u64>(),
        kind in select(&FaultKind::ALL[..]),
        after in 0..3_u32,
    ) {
        let (disturbed, twin) = (SimFs::new(profile, 1), SimFs::new(profile, 1));
        for fs in [&disturbed, &twin] {
            fs.plan_faults(&[Fault { kind, after }]);
        }
        for step in &steps {
            let fingerprint = disturbed.fingerprint();
            let crashed = disturbed.crash_sample(seed);
            run(&crashed, &steps);
            run(&disturbed.kill_clone(), &steps);
            prop_assert_eq!(disturbed.fingerprint(), fingerprint);
            prop_assert_eq!(step.run(&disturbed), step.run(&twin), "{:?}", step);
        }
        disturbed.plan_faults(&[]);
        twin.plan_faults(&[]);
        prop_assert_eq!(tell(&disturbed), tell(&twin));
        prop_assert_eq!(disturbed.fingerprint(), twin.fingerprint());
        prop_assert_eq!(tell(&disturbed.crash_sample(seed)), tell(&twin.crash_sample(seed)));
        let drawn = [&disturbed, &twin].map(|fs| {
            let mut bytes = [0; 16];
            fs.fill_random(&mut bytes);
            bytes
        });
        prop_assert_eq!(drawn[0], drawn[1]);
    }
}

/// One thing done to the only file there is.
#[derive(Clone, Debug)]
enum Edit {
    Write(u8, usize, u64),
    SetLen(u64),
    Sync,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let offset = || {
        prop_oneof![
            0..1600_u64,
            3800..4400_u64,
            select(vec![0, 512, 4096, 8192])
        ]
    };
    let edit = prop_oneof![
        6 => (b'a'..=b'y', 1..1500_usize, offset()).prop_map(|(l, len, at)| Edit::Write(l, len, at)),
        2 => offset().prop_map(Edit::SetLen),
        1 => Just(Edit::Sync),
    ];
    vec(edit, 1..12)
}

/// What the disk has in place of bytes that never got to it.
fn garbage(sector: usize) -> Vec<u8> {
    let fs = SimFs::new(Profile::Strict, 1);
    let file = durable(&fs, "/f", b"");
    write(&file, b'a', SECTOR_BYTES, (sector * SECTOR_BYTES) as u64);
    let sectors = (0..).map(|seed| {
        let bytes = fs.crash_sample(seed).read("/f").unwrap();
        bytes
            .get(sector * SECTOR_BYTES..)
            .unwrap_or_default()
            .to_vec()
    });
    let mut garbage = sectors.filter(|bytes| bytes.iter().any(|byte| !matches!(byte, 0 | b'a')));
    garbage.next().unwrap()
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn a_sector_is_never_a_mixture(edits in edits(), profile in profile(), seeds in vec(any::<u64>(), 8)) {
        let fs = SimFs::new(profile, 1);
        let file = durable(&fs, "/f", &[b'z'; 700]);
        let mut versions = vec![fs.read("/f").unwrap()];
        for edit in &edits {
            match *edit {
                Edit::Write(letter, len, at) => write(&file, letter, len, at),
                Edit::SetLen(len) => file.set_len(len).unwrap(),
                Edit::Sync => {
                    file.sync_data().unwrap();
                    versions.clear();
                }
            }
            versions.push(fs.read("/f").unwrap());
        }
        let lens: Vec<usize> = versions.iter().map(Vec::len).collect();
        let longest = lens.iter().copied().max().unwrap();
        for version in &mut versions {
            version.resize(longest, 0);
        }
        let unit = if profile == Profile::Btrfs { PAGE_BYTES } else { SECTOR_BYTES };
        for seed in seeds {
            let found = fs.crash_sample(seed).read("/f").unwrap();
            let len = found.len();
            let is_on_the_way = len < longest && len.is_multiple_of(PAGE_BYTES);
            prop_assert!(is_on_the_way || lens.contains(&len), "{} bytes", len);
            for (number, piece) in found.chunks(unit).enumerate() {
                let start = number * unit;
                let end = start + piece.len();
                if versions.iter().any(|version| version[start..end] == *piece) {
                    continue;
                }
                prop_assert_eq!(profile, Profile::Strict, "bytes {}..{}", start, end);
                prop_assert!(start >= lens[0], "bytes {}..{} are durable", start, end);
                prop_assert_eq!(piece, &garbage(number)[..piece.len()], "bytes {}..{}", start, end);
            }
        }
    }
}

const PLACES: [&str; 6] = ["/a", "/b", "/d/a", "/d/b", "/e/a", "/e/b"];

/// Renames to names that are free, new files, and syncs: nothing that a file could be lost by.
fn moves() -> impl Strategy<Value = Vec<Step>> {
    let place = || select(&PLACES[..]);
    let step = prop_oneof![
        6 => (place(), place()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => place().prop_map(Step::Create),
        1 => place().prop_map(Step::SyncData),
        1 => place().prop_map(Step::SyncAll),
        2 => select(vec!["/", "/d", "/e"]).prop_map(Step::SyncDir),
    ];
    vec(step, 1..9)
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn no_file_is_lost_by_a_rename(steps in moves(), profile in profile()) {
        let fs = SimFs::new(profile, 1);
        durable_dir(&fs, "/d");
        durable_dir(&fs, "/e");
        for (path, letter) in [("/a", b'a'), ("/d/a", b'd'), ("/e/a", b'e')] {
            durable(&fs, path, &[letter]);
        }
        for step in &steps {
            let taken = matches!(step, Step::Rename(_, to) if fs.exists(to));
            if !taken {
                run(&fs, std::slice::from_ref(step));
            }
        }
        for outcome in outcomes(&fs) {
            let there: BTreeSet<&str> = outcome.split([' ', '|']).collect();
            for bytes in ["a1", "d1", "e1"] {
                prop_assert!(there.contains(bytes), "{}", outcome);
            }
        }
    }
}

#[test]
fn drawing_finds_every_outcome_of_a_small_program() {
    for profile in Profile::ALL {
        let fs = SimFs::new(profile, 1);
        durable(&fs, "/f", &[b'a'; 600]);
        fs.write("/new", &[b'b'; 600]).unwrap();
        fs.rename("/new", "/f").unwrap();
        let drawn: BTreeSet<String> = (0..1000).map(|seed| tell(&fs.crash_sample(seed))).collect();
        assert_eq!(drawn, outcomes(&fs), "{profile}");
    }
}

#[test]
fn a_process_that_is_started_later_holds_no_lock_and_draws_other_numbers() {
    let fs = SimFs::new(Profile::Strict, 1);
    let file = durable(&fs, "/f", b"");
    assert!(file.try_lock());
    let drawn = |fs: &SimFs| {
        let mut bytes = [0; 16];
        fs.fill_random(&mut bytes);
        bytes
    };
    let first = drawn(&fs);
    for later in [fs.kill_clone(), fs.crash_sample(1)] {
        assert!(open(&later, "/f").try_lock());
        assert!(!open(&fs, "/f").try_lock());
        assert_ne!(drawn(&later), first);
    }
}
