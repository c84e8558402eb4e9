//! What may survive of a file's size, and what a size says of the bytes below it.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};
use plugpull::sim::{Chooser, PAGE_BYTES, Question, SimFs};

use crate::bytes::{durable, open, write};
use crate::outcomes::{assert_outcomes, lengths};

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

/// What is skipped has no pages that get to the disk, so no size lies in it.
#[test]
fn a_write_far_behind_the_end_has_few_outcomes() {
    const FAR: u64 = 1 << 43;
    for profile in [Strict, Ext4Ordered, Xfs, Btrfs] {
        let fs = SimFs::new(profile, 0);
        let file = durable(&fs, "/f", b"a");
        write(&file, b'b', 512, FAR + 4096);
        let sizes = [1, 4096, FAR + 4608].into();
        assert_eq!(lengths(&fs, "/f"), sizes, "{profile}");
    }
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
fn a_size_vouches_for_nothing_that_was_written_after_it() {
    assert_outcomes(
        |fs| {
            let file = durable(fs, "/f", b"");
            write(&file, b'a', 100, 512);
            write(&file, b'b', 100, 0);
        },
        &[
            (
                &[Strict],
                &[
                    "/f -",
                    "/f z612",
                    "/f z512 a100",
                    "/f z512 ?100",
                    "/f b100 z512",
                    "/f b100 z412 a100",
                    "/f b100 z412 ?100",
                    "/f ?512 z100",
                    "/f ?512 a100",
                    "/f ?612",
                ],
            ),
            (
                &[Ext4Ordered],
                &[
                    "/f -",
                    "/f z612",
                    "/f z512 a100",
                    "/f b100 z512",
                    "/f b100 z412 a100",
                ],
            ),
            (
                &[Xfs, Btrfs],
                &["/f -", "/f z512 a100", "/f b100 z412 a100"],
            ),
            (&[SyncedOnly], &["/f -"]),
            (&[Everything], &["/f b100 z412 a100"]),
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
        let file = durable(&fs, "/f", &vec![b'a'; 5 * PAGE_BYTES]);
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
        durable(&fs, "/f", &vec![b'a'; 5 * PAGE_BYTES]);
        fs.write("/f", &[b'b'; 3 * PAGE_BYTES]).unwrap();
        assert_eq!(
            lengths(&fs, "/f"),
            [0, 4096, 8192, 12_288, 20_480].into(),
            "{profile}"
        );
    }
}

/// Takes the largest size, loses nothing else, and counts the pieces of a file that it is asked for.
#[derive(Default)]
struct Largest {
    pieces: usize,
}

impl Chooser for Largest {
    fn choose(&mut self, _: u32, question: &Question<'_>) -> u32 {
        self.pieces += usize::from(matches!(question, Question::Bytes { .. }));
        let Question::Size { sizes, .. } = question else {
            return 0;
        };
        let largest = (0_u32..).zip(*sizes).max_by_key(|(_, size)| **size);
        largest.unwrap().0
    }
}

#[test]
fn a_hole_that_was_cut_off_costs_nothing() {
    let fs = SimFs::new(Strict, 1);
    let file = durable(&fs, "/f", b"");
    file.set_len(1 << 24).unwrap();
    file.set_len(0).unwrap();
    let mut largest = Largest::default();
    let crashed = fs.crash_clone(&mut largest);
    assert_eq!(open(&crashed, "/f").len().unwrap(), 1 << 24);
    assert_eq!(largest.pieces, 0, "nothing was ever written there");
}
