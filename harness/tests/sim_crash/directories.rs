//! What may survive of names where several directories have a part in it.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};
use plugpull::sim::{Profile, SimFs};

use crate::bytes::durable;
use crate::outcomes::{assert_outcomes, outcomes};

pub(crate) fn durable_dir(fs: &SimFs, path: &str) {
    fs.create_dir(path).unwrap();
    fs.sync_dir("/").unwrap();
}

#[test]
fn a_rename_to_another_directory_with_the_target_synced() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            durable(fs, "/f", b"a");
            fs.rename("/f", "/d/f").unwrap();
            fs.sync_dir("/d").unwrap();
        },
        &[
            (&[Strict, Btrfs], &["/d/f a1", "/d/f a1 | /f a1"]),
            (&[Ext4Ordered, Xfs, Everything], &["/d/f a1"]),
            (&[SyncedOnly], &["/d/f a1 | /f a1"]),
        ],
    );
}

#[test]
fn a_rename_to_another_directory_with_the_source_synced() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            durable(fs, "/f", b"a");
            fs.rename("/f", "/d/f").unwrap();
            fs.sync_dir("/").unwrap();
        },
        &[(
            &[Strict, Ext4Ordered, Xfs, Btrfs, SyncedOnly, Everything],
            &["/d/f a1"],
        )],
    );
}

#[test]
fn a_directory_never_has_two_names() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            durable_dir(fs, "/e");
            fs.rename("/e", "/d/e").unwrap();
            fs.sync_dir("/d").unwrap();
        },
        &[(
            &[Strict, Ext4Ordered, Xfs, Btrfs, SyncedOnly, Everything],
            &["/d/e/"],
        )],
    );
}

#[test]
fn a_directory_that_was_moved_leaves_the_name_free() {
    for profile in Profile::ALL {
        let fs = SimFs::new(profile, 1);
        durable_dir(&fs, "/d");
        durable_dir(&fs, "/e");
        fs.remove_dir("/e").unwrap();
        fs.create_dir("/e").unwrap();
        fs.rename("/e", "/d/e").unwrap();
        fs.sync_dir("/d").unwrap();
        fs.sync_dir("/").unwrap();
        assert_eq!(outcomes(&fs), ["/d/e/".to_owned()].into(), "{profile}");
    }
}

#[test]
fn a_file_is_found_when_it_was_moved_into_a_new_directory() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            durable(fs, "/f", b"a");
            fs.create_dir("/d/new").unwrap();
            fs.rename("/f", "/d/new/f").unwrap();
            fs.sync_dir("/").unwrap();
        },
        &[
            // POSIX promises no more: nobody has synced /d.
            (&[Strict], &["/d/", "/d/new/f a1"]),
            (&[SyncedOnly], &["/d/"]),
            (&[Ext4Ordered, Xfs, Btrfs, Everything], &["/d/new/f a1"]),
        ],
    );
}

#[test]
fn a_file_in_a_new_directory_with_nothing_synced() {
    assert_outcomes(
        |fs| {
            fs.create_dir("/d").unwrap();
            fs.create("/d/f").unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["nothing", "/d/", "/d/f -"],
            ),
            (&[SyncedOnly], &["nothing"]),
            (&[Everything], &["/d/f -"]),
        ],
    );
}

#[test]
fn a_file_in_a_new_directory_with_the_file_synced() {
    assert_outcomes(
        |fs| {
            fs.create_dir("/d").unwrap();
            fs.create("/d/f").unwrap().sync_data().unwrap();
        },
        &[
            (&[Strict], &["nothing", "/d/", "/d/f -"]),
            (&[SyncedOnly], &["nothing"]),
            (&[Ext4Ordered, Xfs, Btrfs, Everything], &["/d/f -"]),
        ],
    );
}

#[test]
fn a_file_in_a_new_directory_with_that_directory_synced() {
    assert_outcomes(
        |fs| {
            fs.create_dir("/d").unwrap();
            fs.create("/d/f").unwrap();
            fs.sync_dir("/d").unwrap();
        },
        &[
            (&[Strict, Btrfs], &["nothing", "/d/f -"]),
            (&[SyncedOnly], &["nothing"]),
            (&[Ext4Ordered, Xfs, Everything], &["/d/f -"]),
        ],
    );
}

#[test]
fn a_sync_of_a_directory_that_did_not_change_is_no_help_to_others() {
    assert_outcomes(
        |fs| {
            durable_dir(fs, "/d");
            fs.create("/f").unwrap();
            fs.sync_dir("/d").unwrap();
        },
        &[
            (&[Strict, Ext4Ordered, Xfs, Btrfs], &["/d/", "/d/ | /f -"]),
            (&[SyncedOnly], &["/d/"]),
            (&[Everything], &["/d/ | /f -"]),
        ],
    );
}
