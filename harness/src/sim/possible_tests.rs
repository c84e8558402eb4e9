//! What is decided about a disk, compared with all that a power cut can make of it.

use std::collections::{BTreeSet, HashSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::act::{Act, Bytes};
use super::change::Setting;
use super::choice::Odometer;
use super::disk::Disk;
use super::focus::Noted;
use super::possible::Possible;
use super::profile::Profile;
use crate::tree::{Kind, Metadata};
use crate::workload::stream;

/// Disks with more outcomes are not compared.
const OUTCOMES_MAX: usize = 4000;
const NAMES: [&str; 5] = ["a", "b", "d", "d/a", "d/b"];

fn draw_act(rng: &mut ChaCha8Rng) -> Act {
    let mut name = || NAMES[rng.random_range(0..NAMES.len())].to_owned();
    let (path, to) = (name(), name());
    match rng.random_range(0..16) {
        0..3 => Act::Create {
            kind: if path == "d" { Kind::Dir } else { Kind::File },
            path,
            metadata: Metadata::default(),
        },
        3..7 => Act::Write {
            path,
            offset: [0, 100, 512, 5000][rng.random_range(0..4)],
            // Few, so that different writes write the same.
            bytes: Bytes([rng.random_range(1..3_u8); 200].into()),
        },
        7 => Act::SetLen {
            path,
            len: rng.random_range(0..3) * 300,
        },
        8..10 => Act::Rename { from: path, to },
        10 => Act::Remove { path },
        11 => Act::Link { from: path, to },
        12 => Act::Set {
            path,
            setting: Setting::Mode(0o600 + rng.random_range(0..2)),
        },
        13 => Act::Sync {
            path: ["", "d"][rng.random_range(0..2)].to_owned(),
            data_only: false,
        },
        _ => Act::Sync {
            path,
            data_only: rng.random_bool(0.3),
        },
    }
}

/// All that a power cut can leave, if that is not too much.
fn outcomes(disk: &Disk) -> Option<Vec<(Disk, BTreeSet<u64>)>> {
    let mut odometer = Odometer::default();
    let mut found = Vec::new();
    while found.len() < OUTCOMES_MAX {
        let mut noted = Noted::new(&mut odometer);
        let left = disk.crash(&mut noted);
        found.push((left, noted.lost));
        if !odometer.advance() {
            return Some(found);
        }
    }
    None
}

/// How many states exist only without the syncs, and how many exist with them as well.
fn compare(profile: Profile, seed: u64) -> [u64; 2] {
    let mut rng = stream(seed, 0);
    let [mut whole, mut without] = [Disk::new(profile), Disk::new(profile)];
    let mut counted = [0, 0];
    for _ in 0..12 {
        let act = draw_act(&mut rng);
        let mut next = whole.clone();
        if next.act(&act).is_err() {
            continue;
        }
        whole = next;
        let is_left_out = matches!(act, Act::Sync { .. }) && rng.random_bool(0.6);
        let told = String::new();
        let done = if is_left_out {
            without.act(&Act::Answered { told })
        } else {
            without.act(&act)
        };
        done.expect("programs see the same on both");
        let (Some(with), Some(states)) = (outcomes(&whole), outcomes(&without)) else {
            break;
        };
        let with: HashSet<u64> = with.iter().map(|(left, _)| left.fingerprint()).collect();
        if whole.has_the_same_durable(&without) {
            let left = states.iter().map(|(left, _)| left.fingerprint());
            assert_eq!(with, left.collect(), "{profile}, seed {seed}");
        }
        for (left, lost) in states.iter().take(200) {
            let exists = with.contains(&left.fingerprint());
            let told = whole.can_leave(left, lost);
            let expected = if exists { Possible::Yes } else { Possible::No };
            assert_eq!(told, expected, "{profile}, seed {seed}: {act:?}, {lost:?}");
            counted[usize::from(exists)] += 1;
        }
    }
    counted
}

#[test]
fn what_is_told_is_what_all_outcomes_say() {
    for profile in Profile::ALL {
        let mut counted = [0, 0];
        for seed in 0..600 {
            let [only_without, both] = compare(profile, seed);
            counted[0] += only_without;
            counted[1] += both;
        }
        // With every outcome alike there would be nothing to tell apart.
        let [only_without, both] = counted;
        assert!(both > 50, "{profile}: {counted:?}");
        assert!(
            only_without > 50 || profile == Profile::Everything,
            "{profile}: {counted:?}"
        );
    }
}

/// After a rename to another directory and a sync of that one, the new name is durable and the loss of the
/// old one is not: the same operation is pending, but less of it.
#[test]
fn half_a_rename_is_told_from_a_whole_one() {
    let mut whole = Disk::new(Profile::Strict);
    let create = |path: &str, kind| Act::Create {
        path: path.to_owned(),
        kind,
        metadata: Metadata::default(),
    };
    let rename = Act::Rename {
        from: "a".to_owned(),
        to: "d/a".to_owned(),
    };
    let begin = [
        create("a", Kind::File),
        create("d", Kind::Dir),
        Act::SyncEverything,
        rename,
    ];
    begin
        .iter()
        .try_for_each(|act| whole.act(act))
        .expect("it can be done");
    let without = whole.clone();
    assert!(whole.has_the_same_durable(&without));
    let path = "d".to_owned();
    let data_only = false;
    whole
        .act(&Act::Sync { path, data_only })
        .expect("it is there");
    assert_eq!(whole.pending_ops(), without.pending_ops());
    assert!(!whole.has_the_same_durable(&without));
}
