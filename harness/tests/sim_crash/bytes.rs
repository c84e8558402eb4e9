//! What may survive of a file's bytes.

use plugpull::sim::Profile::{Btrfs, Everything, Ext4Ordered, Strict, SyncedOnly, Xfs};
use plugpull::sim::{OpenOptions, SimFile, SimFs};

use crate::outcomes::assert_outcomes;

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
