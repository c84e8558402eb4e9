//! After a sync that failed: what was pending is gone, whatever memory shows and later syncs say.

use std::collections::BTreeSet;

use plugpull::sim::Profile::{Btrfs, Ext4Ordered, Strict, Xfs};
use plugpull::sim::{FaultKind, PAGE_BYTES, Profile, SimFile, SimFs};

use crate::bytes::{durable, open, write};
use crate::faults::{EIO, errno, only, plan};
use crate::outcomes::{outcomes, tell};

#[test]
fn after_a_failed_sync_of_a_directory_the_names_are_pending() {
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        let fs = SimFs::new(profile, 1);
        fs.create("/f").unwrap();
        plan(&fs, FaultKind::SyncDir, 0);
        assert_eq!(errno(fs.sync_dir("/")), Some(EIO));
        assert_eq!(tell(&fs), "/f -");
        assert_eq!(outcomes(&fs), ["nothing", "/f -"].map(str::to_owned).into());
        fs.sync_dir("/").unwrap();
        assert_eq!(outcomes(&fs), only("/f -"), "{profile}");
    }
}

/// A file of which a sync has failed: `change` was pending.
fn with_failed_sync(profile: Profile, seed: u64, change: impl Fn(&SimFile)) -> SimFs {
    let fs = SimFs::new(profile, seed);
    let file = durable(&fs, "/f", &[b'a'; 512]);
    change(&file);
    plan(&fs, FaultKind::Sync, 0);
    assert_eq!(errno(file.sync_data()), Some(EIO));
    fs
}

/// What memory shows, and what is on the disk: now, after a restart, and after a sync that
/// succeeds, it is the same.
fn after_failed_syncs(profile: Profile, change: impl Fn(&SimFile)) -> BTreeSet<(String, String)> {
    let seeds = 0..60;
    let after = |seed| {
        let fs = with_failed_sync(profile, seed, &change);
        let shown = tell(&fs);
        let on_disk = outcomes(&fs);
        assert_eq!(on_disk.len(), 1, "nothing is pending: {on_disk:?}");
        let restarted = fs.kill_clone();
        for fs in [&fs, &restarted] {
            open(fs, "/f").sync_all().unwrap();
            assert_eq!(
                outcomes(fs),
                on_disk,
                "{profile}: a later sync vouches for nothing"
            );
            assert_eq!(tell(fs), shown, "{profile}");
        }
        (shown, on_disk.into_iter().next().unwrap())
    };
    seeds.map(after).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    pairs
        .iter()
        .map(|(shown, on_disk)| ((*shown).to_owned(), (*on_disk).to_owned()))
        .collect()
}

#[test]
fn an_overwrite_whose_sync_failed_is_lost() {
    let overwrite = |file: &SimFile| write(file, b'b', 512, 0);
    let (old, new) = ("/f a512", "/f b512");
    for profile in [Ext4Ordered, Xfs] {
        assert_eq!(
            after_failed_syncs(profile, overwrite),
            pairs(&[(new, old)]),
            "{profile}"
        );
    }
    assert_eq!(after_failed_syncs(Btrfs, overwrite), pairs(&[(old, old)]));
    let anything = pairs(&[(new, old), (new, new), (old, old)]);
    let strict = after_failed_syncs(Strict, overwrite);
    assert!(strict.is_subset(&pairs(&[(new, old), (new, new), (old, old), (old, new)])));
    assert!(strict.is_superset(&anything), "{strict:?}");
}

#[test]
fn an_append_whose_sync_failed_is_lost_with_or_without_its_size() {
    let append = |file: &SimFile| write(file, b'b', 512, 512);
    let (old, new, zeros) = ("/f a512", "/f a512 b512", "/f a512 z512");
    assert_eq!(
        after_failed_syncs(Ext4Ordered, append),
        pairs(&[(new, zeros)])
    );
    assert_eq!(after_failed_syncs(Xfs, append), pairs(&[(new, old)]));
    assert_eq!(after_failed_syncs(Btrfs, append), pairs(&[(old, old)]));
    let strict = after_failed_syncs(Strict, append);
    assert!(strict.is_superset(&pairs(&[(new, old), (new, zeros), (new, new), (old, old)])));
}

#[test]
fn of_several_pages_some_may_be_there() {
    let overwrite = |file: &SimFile| {
        file.set_len(PAGE_BYTES as u64 + 512).unwrap();
        file.sync_data().unwrap();
        write(file, b'b', 512, 0);
        write(file, b'c', 512, PAGE_BYTES as u64);
    };
    let new = "/f b512 z3584 c512";
    let lost = ["/f a512 z4096", "/f b512 z4096", "/f a512 z3584 c512"];
    for profile in [Ext4Ordered, Xfs] {
        let expected = lost.map(|on_disk| (new, on_disk));
        assert_eq!(
            after_failed_syncs(profile, overwrite),
            pairs(&expected),
            "{profile}"
        );
    }
}

#[test]
fn what_is_written_again_and_synced_is_durable() {
    let changes: [fn(&SimFile); 4] = [
        |file| write(file, b'b', 512, 0),
        |file| write(file, b'b', 512, 512),
        |file| write(file, b'b', 700, 100),
        |file| file.set_len(1024).unwrap(),
    ];
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        for (number, change) in changes.into_iter().enumerate() {
            for seed in 0..30 {
                let fs = with_failed_sync(profile, seed, change);
                let file = open(&fs, "/f");
                change(&file);
                file.sync_data().unwrap();
                assert_eq!(
                    outcomes(&fs),
                    only(&tell(&fs)),
                    "{profile}, change {number}"
                );
                let twin = SimFs::new(profile, seed);
                change(&durable(&twin, "/f", &[b'a'; 512]));
                assert_eq!(tell(&fs), tell(&twin), "{profile}, change {number}");
            }
        }
    }
}

#[test]
fn what_is_written_later_is_as_uncertain_as_ever() {
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        let fs = with_failed_sync(profile, 1, |file| write(file, b'b', 512, 0));
        let lost = outcomes(&fs);
        let file = open(&fs, "/f");
        write(&file, b'c', 512, 0);
        let found = outcomes(&fs);
        assert!(
            found.is_superset(&lost) && found.contains("/f c512"),
            "{profile}: {found:?}"
        );
        assert_eq!(found.len(), 2, "{profile}: {found:?}");
    }
}
