//! What a crash makes of exchanges and renames.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;

use crate::sim::{Act, Disk, Odometer, Profile};
use crate::tree::{Kind, Metadata};
use crate::workload::stream;

/// Which node has which path.
type Names = BTreeMap<String, usize>;

fn act(disk: &mut Disk, act: &Act) {
    disk.act(act)
        .unwrap_or_else(|error| panic!("{act:?}: {error}"));
}

fn create(path: &str, kind: Kind) -> Act {
    let (path, metadata) = (path.to_owned(), Metadata::default());
    Act::Create {
        path,
        kind,
        metadata,
    }
}

fn exchange(one: &str, two: &str) -> Act {
    let [one, two] = [one, two].map(str::to_owned);
    Act::Exchange { one, two }
}

fn rename(from: &str, to: &str) -> Act {
    let [from, to] = [from, to].map(str::to_owned);
    Act::Rename { from, to }
}

fn sync(path: &str) -> Act {
    let path = path.to_owned();
    let data_only = false;
    Act::Sync { path, data_only }
}

/// A disk on which these are durable: directories end with a slash.
fn durable(profile: Profile, paths: &[&str]) -> Disk {
    let mut disk = Disk::new(profile);
    for path in paths {
        let created = match path.strip_suffix('/') {
            Some(dir) => create(dir, Kind::Dir),
            None => create(path, Kind::File),
        };
        act(&mut disk, &created);
    }
    act(&mut disk, &Act::SyncEverything);
    disk
}

fn names(disk: &Disk) -> Names {
    let tree = disk.tree(false).into_iter();
    tree.map(|(path, node)| (path[1..].to_owned(), node))
        .collect()
}

/// Every state that a power cut may leave.
fn states(disk: &Disk) -> BTreeSet<Names> {
    let mut odometer = Odometer::default();
    let mut states = BTreeSet::new();
    loop {
        states.insert(names(&disk.crash(&mut odometer)));
        if !odometer.advance() {
            return states;
        }
    }
}

/// Before or after; both, where that is not decided.
fn outcomes(profile: Profile, before: &Names, after: &Names) -> BTreeSet<Names> {
    let all = [before, after].map(Clone::clone);
    let [before, after] = all;
    match profile {
        Profile::SyncedOnly => [before].into(),
        Profile::Everything => [after].into(),
        _ => [before, after].into(),
    }
}

#[test]
fn an_exchange_is_there_as_a_whole_or_not_at_all() {
    for profile in Profile::ALL {
        for (one, two) in [("a", "b"), ("d/a", "e/b"), ("d/a", "b"), ("d/s", "e/t")] {
            let paths = ["d/", "e/", "d/s/", "e/t/", "a", "b", "d/a", "e/b", "e/t/x"];
            let mut disk = durable(profile, &paths);
            let before = names(&disk);
            act(&mut disk, &exchange(one, two));
            let after = names(&disk);
            assert_eq!((after[one], after[two]), (before[two], before[one]));
            let expected = outcomes(profile, &before, &after);
            assert_eq!(states(&disk), expected, "{profile}: {one}, {two}");
        }
    }
}

#[test]
fn a_sync_of_one_directory_makes_the_whole_exchange_durable() {
    for profile in Profile::ALL {
        for synced in ["d", "e"] {
            for (one, two) in [("d/a", "e/b"), ("d/s", "e/t"), ("d/s", "e/b")] {
                let paths = ["d/", "e/", "d/s/", "d/a", "e/t/", "e/b", "e/t/x"];
                let mut disk = durable(profile, &paths);
                act(&mut disk, &exchange(one, two));
                let after = names(&disk);
                act(&mut disk, &sync(synced));
                let what = format!("{profile}: {one}, {two}, sync of {synced}");
                assert_eq!(states(&disk), [after].into(), "{what}");
                // There and back again.
                let before = names(&disk);
                act(&mut disk, &exchange(two, one));
                let expected = outcomes(profile, &before, &names(&disk));
                assert_eq!(states(&disk), expected, "{what}, and back");
            }
        }
    }
}

#[test]
fn the_sync_of_another_directory_makes_no_exchange_durable() {
    let mut disk = durable(Profile::Strict, &["d/", "e/", "f/", "d/a", "e/b"]);
    let before = names(&disk);
    act(&mut disk, &exchange("d/a", "e/b"));
    let expected = [before, names(&disk)].into();
    act(&mut disk, &sync("f"));
    act(&mut disk, &sync("d/a"));
    assert_eq!(states(&disk), expected);
}

/// New files may be lost, but of an exchange that is there, both are.
#[test]
fn new_files_that_change_places_do_so_together() {
    for profile in Profile::ALL {
        let mut disk = durable(profile, &["d/"]);
        act(&mut disk, &create("a", Kind::File));
        act(&mut disk, &create("d/b", Kind::File));
        let before = names(&disk);
        act(&mut disk, &exchange("a", "d/b"));
        for state in states(&disk) {
            let there = [state.get("a"), state.get("d/b")];
            let changed = [before.get("d/b"), before.get("a")];
            let unchanged = [before.get("a"), before.get("d/b")];
            let pairs = there.into_iter().zip(unchanged);
            let is_before = pairs
                .into_iter()
                .all(|(now, then)| now.is_none() || now == then);
            assert!(there == changed || is_before, "{profile}: {state:?}");
        }
    }
}

/// A file that has changed places was once lost where another one had taken the name that it had before,
/// and the exchange that had made room was not there.
#[test]
fn what_is_renamed_over_half_of_an_exchange_needs_the_exchange() {
    for profile in Profile::ALL {
        for (one, two) in [("a", "b"), ("b", "a")] {
            let mut disk = durable(profile, &["a", "b", "x"]);
            let before = names(&disk);
            act(&mut disk, &exchange(one, two));
            act(&mut disk, &rename("x", "a"));
            for state in states(&disk) {
                let kept: BTreeSet<usize> = state.into_values().collect();
                for file in ["a", "x"] {
                    assert!(kept.contains(&before[file]), "{profile}: {file} is lost");
                }
            }
        }
    }
}

/// Renames of directories were once kept without earlier ones of the same, which left two names.
#[test]
fn a_directory_has_one_name_and_does_not_lie_in_itself() {
    for profile in Profile::ALL {
        let mut disk = durable(profile, &["x/", "x/file", "w/"]);
        let directory = names(&disk)["x"];
        act(&mut disk, &rename("x", "y"));
        act(&mut disk, &rename("y", "w/z"));
        for state in states(&disk) {
            let places = state.values().filter(|node| **node == directory).count();
            assert_eq!(places, 1, "{profile}: {state:?}");
        }
        let mut disk = durable(profile, &["a/", "a/b/", "a/b/file"]);
        let file = names(&disk)["a/b/file"];
        act(&mut disk, &rename("a/b", "b"));
        act(&mut disk, &rename("a", "b/a"));
        let unsynced = disk.clone();
        act(&mut disk, &sync("b"));
        for disk in [unsynced, disk] {
            for state in states(&disk) {
                assert!(
                    state.values().any(|node| *node == file),
                    "{profile}: {state:?}"
                );
            }
        }
    }
}

/// Whatever is moved about and synced: nothing that was durable is lost, and no directory has two places.
#[test]
fn nothing_is_lost_that_is_moved_about() {
    const PATHS: [&str; 9] = ["d/", "e/", "d/s/", "a", "b", "d/a", "d/b", "e/a", "d/s/a"];
    let mut states_seen = 0;
    for profile in Profile::ALL {
        for seed in 0..600 {
            let mut rng = stream(seed, 18);
            let mut disk = durable(profile, &PATHS);
            let (before, mut told) = (names(&disk), Vec::new());
            let is_dir: BTreeSet<usize> = ["d", "e", "d/s"].map(|dir| before[dir]).into();
            for _ in 0..rng.random_range(2..9) {
                let now: Vec<String> = names(&disk).into_keys().collect();
                let mut one_of = |new: &str| {
                    let number = rng.random_range(0..now.len() + usize::from(!new.is_empty()));
                    now.get(number).map_or(new, String::as_str).to_owned()
                };
                let (from, to) = (one_of(""), one_of("e/new"));
                let moves = match rng.random_range(0..4) {
                    0 => exchange(&from, &to),
                    // A file that is replaced is gone.
                    1 | 2 if !now.contains(&to) => rename(&from, &to),
                    _ => sync(if rng.random_bool(0.3) { "" } else { &from }),
                };
                if disk.act(&moves).is_ok() {
                    told.push(moves);
                }
            }
            for state in states(&disk) {
                states_seen += 1;
                for (path, node) in &before {
                    let places = state.values().filter(|there| *there == node).count();
                    let is_well = places == 1 || places > 1 && !is_dir.contains(node);
                    assert!(
                        is_well,
                        "{profile}, seed {seed}: {path} has {places} places in {state:?} after {told:#?}"
                    );
                }
            }
        }
    }
    assert!(states_seen > 2000, "{states_seen}");
}
