//! What may survive of a file's bytes and of its size.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};
use plugpull::sim::{OpenOptions, PAGE_BYTES, Replayed, SimFile, SimFs};

use crate::outcomes::{assert_outcomes, lengths, tell};

/// A file that is durable, name and bytes, and open.
pub(crate) fn durable(fs: &SimFs, path: &str, bytes: &[u8]) -> SimFile {
    fs.write(path, bytes).unwrap();
    let parent = path.rsplit_once('/').unwrap().0;
    fs.sync_dir(format!("{parent}/")).unwrap();
    let file = open(fs, path);
    file.sync_all().unwrap();
    file
}

pub(crate) fn open(fs: &SimFs, path: &str) -> SimFile {
    let mut options = OpenOptions::new();
    fs.open(path, options.read(true).write(true)).unwrap()
}

pub(crate) fn write(file: &SimFile, letter: u8, len: usize, offset: u64) {
    let written = file.write_at(&vec![letter; len], offset);
    assert_eq!(written.unwrap(), len);
}

#[test]
fn of_a_new_file_anything_survives() {
    assert_outcomes(
        |fs| fs.write("/f", &[b'a'; 600]).unwrap(),
        &[
            (
                &[Strict],
                &[
                    "nothing",
                    "/f -",
                    "/f a600",
                    "/f a512 z88",
                    "/f a512 ?88",
                    "/f z512 a88",
                    "/f z600",
                    "/f z512 ?88",
                    "/f ?512 a88",
                    "/f ?512 z88",
                    "/f ?600",
                ],
            ),
            (
                &[Ext4Ordered],
                &[
                    "nothing",
                    "/f -",
                    "/f a600",
                    "/f a512 z88",
                    "/f z512 a88",
                    "/f z600",
                ],
            ),
            // The size vouches for the last page; both sectors are in it.
            (&[Xfs, Btrfs], &["nothing", "/f -", "/f a600"]),
            (&[SyncedOnly], &["nothing"]),
            (&[Everything], &["/f a600"]),
        ],
    );
}

#[test]
fn an_overwrite_is_torn_by_sector() {
    assert_outcomes(
        |fs| write(&durable(fs, "/f", &[b'a'; 1536]), b'b', 1024, 256),
        &[
            (
                &[Strict, Ext4Ordered, Xfs],
                &[
                    "/f a1536",
                    "/f a256 b256 a1024",
                    "/f a512 b512 a512",
                    "/f a1024 b256 a256",
                    "/f a256 b768 a512",
                    "/f a512 b768 a256",
                    "/f a256 b256 a512 b256 a256",
                    "/f a256 b1024 a256",
                ],
            ),
            (&[Btrfs], &["/f a1536", "/f a256 b1024 a256"]),
            (&[SyncedOnly], &["/f a1536"]),
            (&[Everything], &["/f a256 b1024 a256"]),
        ],
    );
}

#[test]
fn a_sector_keeps_any_of_the_versions_it_had() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", &[b'a'; 512]);
            write(&file, b'b', 256, 0);
            write(&file, b'c', 256, 256);
            write(&file, b'd', 128, 0);
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &[
                    "/f a512",
                    "/f b256 a256",
                    "/f b256 c256",
                    "/f d128 b128 c256",
                ],
            ),
            (&[SyncedOnly], &["/f a512"]),
            (&[Everything], &["/f d128 b128 c256"]),
        ],
    );
}

#[test]
fn a_synced_overwrite_ends_all_doubt() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", &[b'a'; 1024]);
            write(&file, b'b', 1024, 0);
            file.sync_data().unwrap();
        },
        &[(
            &[Strict, Ext4Ordered, Xfs, Btrfs, SyncedOnly, Everything],
            &["/f b1024"],
        )],
    );
}

#[test]
fn an_append_inside_a_sector_may_be_longer_than_its_bytes() {
    assert_outcomes(
        |fs| write(&durable(fs, "/f", &[b'a'; 100]), b'b', 100, 100),
        &[
            (
                &[Strict, Ext4Ordered],
                &["/f a100", "/f a100 z100", "/f a100 b100"],
            ),
            (&[Xfs, Btrfs], &["/f a100", "/f a100 b100"]),
            (&[SyncedOnly], &["/f a100"]),
            (&[Everything], &["/f a100 b100"]),
        ],
    );
}

#[test]
fn the_size_vouches_for_as_much_as_the_file_system_says() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            write(&file, b'a', 512, 0);
            write(&file, b'b', 512, 4096);
        },
        &[
            (
                &[Strict],
                &[
                    "/f -",
                    "/f a512",
                    "/f z512",
                    "/f ?512",
                    "/f a512 z3584",
                    "/f z4096",
                    "/f ?512 z3584",
                    "/f a512 z3584 b512",
                    "/f a512 z4096",
                    "/f a512 z3584 ?512",
                    "/f z4096 b512",
                    "/f z4608",
                    "/f z4096 ?512",
                    "/f ?512 z3584 b512",
                    "/f ?512 z4096",
                    "/f ?512 z3584 ?512",
                ],
            ),
            (
                &[Ext4Ordered],
                &[
                    "/f -",
                    "/f a512",
                    "/f z512",
                    "/f a512 z3584",
                    "/f z4096",
                    "/f a512 z3584 b512",
                    "/f a512 z4096",
                    "/f z4096 b512",
                    "/f z4608",
                ],
            ),
            // The last page before the end is there.
            (
                &[Xfs],
                &[
                    "/f -",
                    "/f a512",
                    "/f a512 z3584",
                    "/f a512 z3584 b512",
                    "/f z4096 b512",
                ],
            ),
            // Some page is there: the first to be written takes the whole size along.
            (
                &[Btrfs],
                &[
                    "/f -",
                    "/f a512",
                    "/f a512 z3584",
                    "/f a512 z3584 b512",
                    "/f a512 z4096",
                    "/f z4096 b512",
                ],
            ),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f a512 z3584 b512"]),
        ],
    );
}

#[test]
fn a_size_that_was_set_vouches_for_nothing() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            file.set_len(1024).unwrap();
            write(&file, b'a', 512, 512);
        },
        &[
            (
                &[Strict],
                &["/f -", "/f z1024", "/f z512 a512", "/f z512 ?512"],
            ),
            (
                &[Ext4Ordered, Xfs, Btrfs],
                &["/f -", "/f z1024", "/f z512 a512"],
            ),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f z512 a512"]),
        ],
    );
}

#[test]
fn a_size_set_beyond_the_bytes_vouches_for_none_of_them() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            write(&file, b'a', 100, 0);
            file.set_len(400).unwrap();
        },
        &[
            (
                &[Strict],
                &[
                    "/f -",
                    "/f a100",
                    "/f z100",
                    "/f ?100",
                    "/f a100 z300",
                    "/f z400",
                    "/f ?400",
                ],
            ),
            (
                &[Ext4Ordered],
                &["/f -", "/f a100", "/f z100", "/f a100 z300", "/f z400"],
            ),
            (
                &[Xfs, Btrfs],
                &["/f -", "/f a100", "/f a100 z300", "/f z400"],
            ),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f a100 z300"]),
        ],
    );
}

#[test]
fn zeros_that_were_written_are_bytes_as_any() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            write(&file, 0, 512, 0);
        },
        &[
            (&[Strict], &["/f -", "/f z512", "/f ?512"]),
            (&[Ext4Ordered, Xfs, Btrfs], &["/f -", "/f z512"]),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f z512"]),
        ],
    );
}

#[test]
fn what_was_cut_off_comes_back_only_with_the_cut() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", &[b'a'; 1024]);
            file.set_len(512).unwrap();
            file.set_len(1024).unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &["/f a512", "/f a512 z512", "/f a1024"],
            ),
            (&[SyncedOnly], &["/f a1024"]),
            (&[Everything], &["/f a512 z512"]),
        ],
    );
}

#[test]
fn a_cut_in_the_middle_of_a_sector_leaves_zeros_behind_it() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", &[b'a'; 512]);
            file.set_len(100).unwrap();
            file.set_len(200).unwrap();
        },
        &[
            (
                &[Strict, Ext4Ordered, Xfs, Btrfs],
                &[
                    "/f a512",
                    "/f a100 z412",
                    "/f a100",
                    "/f a200",
                    "/f a100 z100",
                ],
            ),
            (&[SyncedOnly], &["/f a512"]),
            (&[Everything], &["/f a100 z100"]),
        ],
    );
}

#[test]
fn a_cut_may_be_lost_and_what_was_written_before_it_not() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            write(&file, b'a', 1024, 0);
            file.set_len(512).unwrap();
        },
        &[
            (
                &[Strict],
                &[
                    "/f -",
                    "/f a512",
                    "/f z512",
                    "/f ?512",
                    "/f a1024",
                    "/f a512 z512",
                    "/f a512 ?512",
                    "/f z512 a512",
                    "/f z1024",
                    "/f z512 ?512",
                    "/f ?512 a512",
                    "/f ?512 z512",
                    "/f ?1024",
                ],
            ),
            (
                &[Ext4Ordered, Xfs],
                &[
                    "/f -",
                    "/f a512",
                    "/f z512",
                    "/f a1024",
                    "/f a512 z512",
                    "/f z512 a512",
                    "/f z1024",
                ],
            ),
            (
                &[Btrfs],
                &[
                    "/f -",
                    "/f a512",
                    "/f z512",
                    "/f a1024",
                    "/f a512 z512",
                    "/f z1024",
                ],
            ),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f a512"]),
        ],
    );
}

#[test]
fn a_large_write_may_end_at_each_of_its_pages() {
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        let fs = SimFs::new(profile, 1);
        let file = durable(&fs, "/f", &[b'a'; 5 * PAGE_BYTES]);
        write(&file, b'b', 2 * PAGE_BYTES + 1, 20_479);
        assert_eq!(
            lengths(&fs, "/f"),
            [20_480, 24_576, 28_672].into(),
            "{profile}"
        );
        file.set_len(0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(lengths(&fs, "/f"), [0].into(), "{profile}");
        write(&file, b'c', 2 * PAGE_BYTES + 5, 100);
        assert_eq!(
            lengths(&fs, "/f"),
            [0, 4096, 8192, 8297].into(),
            "{profile}"
        );
    }
}

#[test]
fn a_file_that_is_cut_and_written_anew_grows_page_by_page_too() {
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        let fs = SimFs::new(profile, 1);
        durable(&fs, "/f", &[b'a'; 5 * PAGE_BYTES]);
        fs.write("/f", &[b'b'; 3 * PAGE_BYTES]).unwrap();
        assert_eq!(
            lengths(&fs, "/f"),
            [0, 4096, 8192, 12_288, 20_480].into(),
            "{profile}"
        );
    }
}

#[test]
fn a_large_file_that_is_cut_costs_nothing() {
    let fs = SimFs::new(Strict, 1);
    let file = durable(&fs, "/f", b"");
    file.set_len(1 << 50).unwrap();
    file.set_len(0).unwrap();
    let crashed = fs.crash_clone(&mut Replayed::new(&[]));
    assert_eq!(tell(&crashed), "/f -");
}
