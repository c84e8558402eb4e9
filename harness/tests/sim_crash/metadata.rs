//! What may survive of metadata, of symbolic links and of holes.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};
use plugpull::sim::{NodeKind, Profile, Replayed, SimFs};

use crate::bytes::{durable, open};
use crate::directories::durable_dir;
use crate::outcomes::{assert_outcomes, outcomes};

const ALL: &[Profile] = &[Strict, Ext4Ordered, Xfs, Btrfs, SyncedOnly, Everything];

#[test]
fn a_change_is_pending_until_a_sync() {
    assert_outcomes(
        |fs| durable(fs, "/f", b"a").set_mode(0o600).unwrap(),
        &[
            (&[Strict, Ext4Ordered, Xfs, Btrfs], &["/f a1", "/f a1 600"]),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["/f a1 600"]),
        ],
    );
}

#[test]
fn fsync_covers_it() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            file.set_mode(0o600).unwrap();
            file.set_owner(Some(7), None).unwrap();
            file.set_xattr("user.k", b"v").unwrap();
            file.sync_all().unwrap();
        },
        &[(ALL, &["/f a1 600 @7:0 k=v"])],
    );
}

#[test]
fn fdatasync_does_not_cover_it() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            file.set_mode(0o600).unwrap();
            file.write_at(b"b", 0).unwrap();
            file.sync_data().unwrap();
        },
        &[
            (&[Strict, Ext4Ordered, Xfs, Btrfs], &["/f b1", "/f b1 600"]),
            (&[SyncedOnly], &["/f b1"]),
            (&[Everything], &["/f b1 600"]),
        ],
    );
}

#[test]
fn fdatasync_of_a_file_that_grew_commits_the_journal() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            file.set_mode(0o600).unwrap();
            file.write_at(b"aa", 0).unwrap();
            file.sync_data().unwrap();
        },
        &[
            (&[Strict, Btrfs], &["/f a2", "/f a2 600"]),
            (&[Ext4Ordered, Xfs, Everything], &["/f a2 600"]),
            (&[SyncedOnly], &["/f a2"]),
        ],
    );
}

#[test]
fn a_sync_of_another_file_commits_the_journal_up_to_that_files_last_change() {
    assert_outcomes(
        |fs| {
            let (f, g) = (durable(fs, "/f", b"a"), durable(fs, "/g", b"b"));
            f.set_mode(0o600).unwrap();
            g.set_mode(0o640).unwrap();
            f.set_xattr("user.k", b"v").unwrap();
            g.sync_all().unwrap();
        },
        &[
            (
                &[Strict],
                &[
                    "/f a1 | /g b1 640",
                    "/f a1 600 | /g b1 640",
                    "/f a1 k=v | /g b1 640",
                    "/f a1 600 k=v | /g b1 640",
                ],
            ),
            (
                &[Ext4Ordered, Xfs],
                &["/f a1 600 | /g b1 640", "/f a1 600 k=v | /g b1 640"],
            ),
            (
                &[Btrfs],
                &[
                    "/f a1 | /g b1 640",
                    "/f a1 600 | /g b1 640",
                    "/f a1 600 k=v | /g b1 640",
                ],
            ),
            (&[SyncedOnly], &["/f a1 | /g b1 640"]),
            (&[Everything], &["/f a1 600 k=v | /g b1 640"]),
        ],
    );
}

#[test]
fn names_and_metadata_are_in_one_order() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.rename("/f", "/g").unwrap();
            file.set_mode(0o600).unwrap();
        },
        &[
            (&[Strict], &["/f a1", "/f a1 600", "/g a1", "/g a1 600"]),
            (&[Ext4Ordered, Xfs, Btrfs], &["/f a1", "/g a1", "/g a1 600"]),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["/g a1 600"]),
        ],
    );
}

#[test]
fn an_fsync_after_a_change_of_mode_commits_earlier_names_in_the_journal() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.create_dir("/d").unwrap();
            file.set_mode(0o600).unwrap();
            file.sync_all().unwrap();
        },
        &[
            (&[Strict, Btrfs], &["/f a1 600", "/d/ | /f a1 600"]),
            (&[Ext4Ordered, Xfs, Everything], &["/d/ | /f a1 600"]),
            (&[SyncedOnly], &["/f a1 600"]),
        ],
    );
}

#[test]
fn a_sync_of_a_directory_covers_its_own_metadata() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            let file = durable(fs, "/d/f", b"a");
            fs.set_mode("/d", 0o700).unwrap();
            file.set_mode(0o600).unwrap();
            fs.sync_dir("/d").unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/d/ 700 | /d/f a1", "/d/ 700 | /d/f a1 600"],
            ),
            (&[SyncedOnly], &["/d/ 700 | /d/f a1"]),
            (&[Everything], &["/d/ 700 | /d/f a1 600"]),
        ],
    );
}

#[test]
fn the_first_mode_is_as_durable_as_the_name() {
    assert_outcomes(
        |fs| {
            fs.make_node("/fifo", NodeKind::Fifo, 0o600).unwrap();
            fs.symlink("fifo", "/link").unwrap();
            fs.sync_dir("/").unwrap();
        },
        &[(ALL, &["/fifo Fifo 600 | /link -> fifo"])],
    );
}

#[test]
fn an_attribute_that_was_removed_may_be_there_again() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            file.set_xattr("user.k", b"v").unwrap();
            file.sync_all().unwrap();
            file.remove_xattr("user.k").unwrap();
        },
        &[
            (&[Strict, Ext4Ordered, Xfs, Btrfs], &["/f a1", "/f a1 k=v"]),
            (&[SyncedOnly], &["/f a1 k=v"]),
            (&[Everything], &["/f a1"]),
        ],
    );
}

#[test]
fn what_changes_nothing_is_not_asked_for() {
    let fs = SimFs::new(Strict, 1);
    let file = durable(&fs, "/f", b"a");
    file.set_mode(0o600).unwrap();
    file.sync_all().unwrap();
    file.set_mode(0o600).unwrap();
    file.set_owner(None, None).unwrap();
    assert_eq!(outcomes(&fs), ["/f a1 600".to_owned()].into());
}

#[test]
fn times_are_restored_and_make_no_other_file_system() {
    let fs = SimFs::new(Strict, 1);
    let file = durable(&fs, "/f", b"a");
    let before = fs.fingerprint();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(9);
    file.set_modified(then).unwrap();
    assert_eq!(fs.fingerprint(), before);
    let after = |answers: &[u32]| {
        let crashed = fs.crash_clone(&mut Replayed::new(answers));
        crashed.stat("/f").unwrap().modified
    };
    assert_eq!((after(&[0]), after(&[1])), (Some(then), None));
    file.sync_all().unwrap();
    assert_eq!(after(&[1]), Some(then));
}

#[test]
fn a_hole_is_pending_like_a_write() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", &[b'a'; 1536]);
            open(fs, "/f").punch_hole(512, 512).unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1536", "/f a512 z512 a512"],
            ),
            (&[SyncedOnly], &["/f a1536"]),
            (&[Everything], &["/f a512 z512 a512"]),
        ],
    );
    assert_outcomes(
        |fs| {
            durable(fs, "/f", &[b'a'; 1024]);
            let file = open(fs, "/f");
            // Beyond the end nothing changes.
            file.punch_hole(512, 1 << 40).unwrap();
            file.sync_data().unwrap();
        },
        &[(ALL, &["/f a512 z512"])],
    );
}

#[test]
fn a_hole_hits_sectors_in_part() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", &[b'a'; 1536]);
            let file = open(fs, "/f");
            file.punch_hole(511, 514).unwrap();
            file.sync_data().unwrap();
            let bytes = fs.read("/f").unwrap();
            assert!(bytes[511..1025].iter().all(|byte| *byte == 0));
            assert!(bytes[..511].iter().all(|byte| *byte == b'a'));
            assert!(bytes[1025..].iter().all(|byte| *byte == b'a'));
            file.write_at(&[b'b'; 512], 0).unwrap();
            file.write_at(&[b'c'; 512], 1024).unwrap();
            file.sync_data().unwrap();
        },
        &[(ALL, &["/f b512 z512 c512"])],
    );
}
