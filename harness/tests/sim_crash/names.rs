//! What may survive of names.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};

use crate::bytes::{durable, open, write};
use crate::outcomes::assert_outcomes;

#[test]
fn a_name_is_not_synced_with_the_bytes() {
    assert_outcomes(
        |fs| {
            fs.write("/f", b"aa").unwrap();
            open(fs, "/f").sync_data().unwrap();
        },
        &[
            (&[Strict], &["nothing", "/f a2"]),
            (&[Ext4Ordered, Xfs, Btrfs, Everything], &["/f a2"]),
            (&[SyncedOnly], &["nothing"]),
        ],
    );
}

#[test]
fn bytes_are_not_synced_with_the_name() {
    assert_outcomes(
        |fs| {
            fs.write("/f", b"aa").unwrap();
            fs.sync_dir("/").unwrap();
        },
        &[
            (&[Strict], &["/f -", "/f a2", "/f z2", "/f ?2"]),
            (&[Ext4Ordered], &["/f -", "/f a2", "/f z2"]),
            (&[Xfs, Btrfs], &["/f -", "/f a2"]),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f a2"]),
        ],
    );
}

#[test]
fn a_rename_over_a_file_is_old_or_new() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            durable(fs, "/new", b"b");
            fs.rename("/new", "/f").unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1 | /new b1", "/f b1"],
            ),
            (&[SyncedOnly], &["/f a1 | /new b1"]),
            (&[Everything], &["/f b1"]),
        ],
    );
}

#[test]
fn a_rename_does_not_wait_for_the_bytes() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            fs.write("/new", b"b").unwrap();
            fs.rename("/new", "/f").unwrap();
            fs.sync_dir("/").unwrap();
        },
        &[
            (&[Strict], &["/f -", "/f b1", "/f z1", "/f ?1"]),
            (&[Ext4Ordered], &["/f -", "/f b1", "/f z1"]),
            (&[Xfs, Btrfs], &["/f -", "/f b1"]),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f b1"]),
        ],
    );
}

#[test]
fn a_name_that_was_removed_and_used_again() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            fs.remove_file("/f").unwrap();
            let file = fs.create("/f").unwrap();
            write(&file, b'b', 1, 0);
        },
        &[
            (
                &[Strict],
                &["/f a1", "nothing", "/f -", "/f b1", "/f z1", "/f ?1"],
            ),
            (
                &[Ext4Ordered],
                &["/f a1", "nothing", "/f -", "/f b1", "/f z1"],
            ),
            (&[Xfs, Btrfs], &["/f a1", "nothing", "/f -", "/f b1"]),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["/f b1"]),
        ],
    );
}

#[test]
fn a_name_that_was_vacated_by_a_rename_and_used_again() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            fs.rename("/f", "/old").unwrap();
            fs.create("/f").unwrap();
        },
        &[
            // The new file can have the name only if the old one has its own.
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1", "/old a1", "/f - | /old a1"],
            ),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["/f - | /old a1"]),
        ],
    );
}

#[test]
fn a_synced_file_takes_the_one_along_whose_name_it_got() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            fs.rename("/f", "/old").unwrap();
            fs.create("/f").unwrap().sync_all().unwrap();
        },
        &[
            (&[Strict], &["/f a1", "/old a1", "/f - | /old a1"]),
            (&[SyncedOnly], &["/f a1"]),
            (&[Ext4Ordered, Xfs, Btrfs, Everything], &["/f - | /old a1"]),
        ],
    );
}

#[test]
fn a_second_name() {
    assert_outcomes(
        |fs| {
            durable(fs, "/f", b"a");
            fs.hard_link("/f", "/g").unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1", "/f a1 | /g a1"],
            ),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["/f a1 | /g a1"]),
        ],
    );
}

#[test]
fn two_names_have_the_same_bytes() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.hard_link("/f", "/g").unwrap();
            fs.sync_dir("/").unwrap();
            write(&file, b'b', 1, 0);
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1 | /g a1", "/f b1 | /g b1"],
            ),
            (&[SyncedOnly], &["/f a1 | /g a1"]),
            (&[Everything], &["/f b1 | /g b1"]),
        ],
    );
}

#[test]
fn fdatasync_is_not_enough_for_a_second_name() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.hard_link("/f", "/g").unwrap();
            write(&file, b'b', 1, 0);
            file.sync_data().unwrap();
        },
        &[
            (&[Strict, Ext4Ordered, Xfs], &["/f b1", "/f b1 | /g b1"]),
            (&[SyncedOnly], &["/f b1"]),
            (&[Btrfs, Everything], &["/f b1 | /g b1"]),
        ],
    );
}

#[test]
fn fdatasync_is_not_enough_for_a_new_name() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.rename("/f", "/g").unwrap();
            write(&file, b'b', 1, 0);
            file.sync_data().unwrap();
        },
        &[
            (&[Strict, Ext4Ordered, Xfs], &["/f b1", "/g b1"]),
            (&[SyncedOnly], &["/f b1"]),
            (&[Btrfs, Everything], &["/g b1"]),
        ],
    );
}

#[test]
fn fsync_is_enough_for_a_new_name() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.rename("/f", "/g").unwrap();
            file.sync_all().unwrap();
        },
        &[
            (&[Strict], &["/f a1", "/g a1"]),
            (&[SyncedOnly], &["/f a1"]),
            (&[Ext4Ordered, Xfs, Btrfs, Everything], &["/g a1"]),
        ],
    );
}

#[test]
fn a_file_without_a_name_leaves_no_trace() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.remove_file("/f").unwrap();
            fs.sync_dir("/").unwrap();
            write(&file, b'b', 1, 0);
            file.sync_all().unwrap();
        },
        &[(
            &[Strict, Ext4Ordered, Xfs, Btrfs, SyncedOnly, Everything],
            &["nothing"],
        )],
    );
}

#[test]
fn a_removed_file_that_is_written_may_be_back() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.remove_file("/f").unwrap();
            write(&file, b'b', 1, 0);
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a1", "/f b1", "nothing"],
            ),
            (&[SyncedOnly], &["/f a1"]),
            (&[Everything], &["nothing"]),
        ],
    );
}

#[test]
fn the_sync_of_an_overwrite_takes_no_name_along() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.create("/g").unwrap();
            write(&file, b'b', 1, 0);
            file.sync_data().unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f b1", "/f b1 | /g -"],
            ),
            (&[SyncedOnly], &["/f b1"]),
            (&[Everything], &["/f b1 | /g -"]),
        ],
    );
}

#[test]
fn the_sync_of_an_append_takes_all_names_along() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"a");
            fs.create("/g").unwrap();
            write(&file, b'b', 1, 1);
            file.sync_data().unwrap();
        },
        &[
            (&[Strict, Btrfs], &["/f a1 b1", "/f a1 b1 | /g -"]),
            (&[SyncedOnly], &["/f a1 b1"]),
            (&[Ext4Ordered, Xfs, Everything], &["/f a1 b1 | /g -"]),
        ],
    );
}

#[test]
fn names_are_lost_in_order_or_in_any() {
    assert_outcomes(
        |fs| {
            fs.create("/a").unwrap();
            fs.create("/b").unwrap();
        },
        &[
            (&[Strict], &["nothing", "/a -", "/b -", "/a - | /b -"]),
            (
                &[Ext4Ordered, Xfs, Btrfs],
                &["nothing", "/a -", "/a - | /b -"],
            ),
            (&[SyncedOnly], &["nothing"]),
            (&[Everything], &["/a - | /b -"]),
        ],
    );
}

#[test]
fn a_sync_takes_along_what_came_before_it() {
    assert_outcomes(
        |fs| {
            fs.create("/before").unwrap();
            let file = fs.create("/f").unwrap();
            fs.create("/after").unwrap();
            file.sync_all().unwrap();
        },
        &[
            (
                &[Strict],
                &[
                    "nothing",
                    "/before -",
                    "/f -",
                    "/after -",
                    "/before - | /f -",
                    "/after - | /before -",
                    "/after - | /f -",
                    "/after - | /before - | /f -",
                ],
            ),
            // Up to its own last change, whosever the changes are.
            (
                &[Ext4Ordered, Xfs],
                &["/before - | /f -", "/after - | /before - | /f -"],
            ),
            // Its own alone.
            (
                &[Btrfs],
                &["/f -", "/before - | /f -", "/after - | /before - | /f -"],
            ),
            (&[SyncedOnly], &["nothing"]),
            (&[Everything], &["/after - | /before - | /f -"]),
        ],
    );
}
