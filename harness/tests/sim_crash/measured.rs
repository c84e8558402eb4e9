//! What real file systems did: each profile must allow it. It may allow more, never less.
//!
//! Seen on Linux 6.18 with default options, by copying the image of a mounted file system after these
//! operations and mounting the copy. `commit` stands for everything that makes a file system write
//! its metadata back at a moment of its own choice; which of the pages in memory were written back
//! before, the programs do not say: that was its own choice, too.

use plugpull::sim::Profile::{Btrfs, Ext4Ordered, Xfs};
use plugpull::sim::SimFs;

use crate::bytes::{durable, open, write};
use crate::directories::durable_dir;
use crate::outcomes::outcomes;

struct Fact {
    program: fn(&SimFs),
    ext4: &'static str,
    xfs: &'static str,
    btrfs: &'static str,
}

impl Fact {
    fn assert_allowed(&self) {
        for (profile, seen) in [
            (Ext4Ordered, self.ext4),
            (Xfs, self.xfs),
            (Btrfs, self.btrfs),
        ] {
            let fs = SimFs::new(profile, 1);
            (self.program)(&fs);
            let allowed = outcomes(&fs);
            assert!(
                allowed.contains(seen),
                "{profile}: {seen} is not among {allowed:?}"
            );
        }
    }
}

macro_rules! facts {
    ($($name:ident: $program:expr => [$ext4:literal, $xfs:literal, $btrfs:literal];)*) => {$(
        #[test]
        fn $name() {
            let fact = Fact { program: $program, ext4: $ext4, xfs: $xfs, btrfs: $btrfs };
            fact.assert_allowed();
        }
    )*};
}

const PAGE_20: u64 = 20 * 4096;

fn commit(fs: &SimFs) {
    let file = fs.create("/other").unwrap();
    write(&file, b'o', 1, 0);
    file.sync_all().unwrap();
}

fn new(fs: &SimFs, path: &str, letter: u8, len: usize) {
    fs.write(path, &vec![letter; len]).unwrap();
}

fn new_synced(fs: &SimFs, path: &str, letter: u8, len: usize) {
    new(fs, path, letter, len);
    open(fs, path).sync_all().unwrap();
}

fn two_files(fs: &SimFs) {
    durable(fs, "/a", &[b'a'; 10]);
    durable(fs, "/b", &[b'b'; 10]);
}

fn file_and_directory(fs: &SimFs) {
    durable(fs, "/a", &[b'a'; 10]);
    durable_dir(fs, "/x");
}

fn two_names(fs: &SimFs) {
    durable(fs, "/a", &[b'a'; 10]);
    fs.hard_link("/a", "/b").unwrap();
    fs.sync_dir("/").unwrap();
}

facts! {
    an_append_in_the_last_block_and_a_directory_sync: |fs| {
        write(&durable(fs, "/a", &[b'a'; 100]), b'b', 100, 100);
        fs.create("/n").unwrap();
        fs.sync_dir("/").unwrap();
    } => ["/a a100 z100 | /n -", "/a a100 | /n -", "/a a100 | /n -"];

    a_length_set_then_a_write_below_it: |fs| {
        let file = durable(fs, "/f", b"");
        file.set_len(1000).unwrap();
        write(&file, b'w', 500, 500);
        commit(fs);
    } => ["/f z1000 | /other o1", "/f z1000 | /other o1", "/f z1000 | /other o1"];

    a_length_set_then_a_write_below_it_in_the_last_block: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        file.set_len(1000).unwrap();
        write(&file, b'w', 400, 512);
        commit(fs);
    } => ["/a a100 z412 w400 z88 | /other o1", "/a a100 z900 | /other o1", "/a a100 z900 | /other o1"];

    a_write_then_a_length_set_far_above_it: |fs| {
        let file = durable(fs, "/f", b"");
        write(&file, b'w', 100, 0);
        file.set_len(8192).unwrap();
        commit(fs);
    } => ["/f z8192 | /other o1", "/f w100 z8092 | /other o1", "/f z8192 | /other o1"];

    a_write_then_a_length_set_above_it: |fs| {
        let file = durable(fs, "/f", b"");
        write(&file, b'w', 100, 0);
        file.set_len(400).unwrap();
        commit(fs);
    } => ["/f z400 | /other o1", "/f w100 z300 | /other o1", "/f z400 | /other o1"];

    an_append_then_a_length_set_far_above_it: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        write(&file, b'w', 100, 100);
        file.set_len(8192).unwrap();
        commit(fs);
    } => ["/a a100 w100 z7992 | /other o1", "/a a100 w100 z7992 | /other o1", "/a a100 z8092 | /other o1"];

    two_pages_with_the_first_written_back: |fs| {
        let file = durable(fs, "/f", b"");
        write(&file, b'w', 100, 0);
        write(&file, b'v', 100, PAGE_20);
        commit(fs);
    } => ["/f w100 z3996 | /other o1", "/f w100 z3996 | /other o1", "/f w100 z81920 | /other o1"];

    two_pages_with_the_second_written_back: |fs| {
        let file = durable(fs, "/f", b"");
        write(&file, b'w', 100, 0);
        write(&file, b'v', 100, PAGE_20);
        commit(fs);
    } => ["/f z81920 v100 | /other o1", "/f z81920 v100 | /other o1", "/f z81920 v100 | /other o1"];

    the_last_block_and_a_page_with_the_block_written_back: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        write(&file, b'w', 100, 100);
        write(&file, b'v', 100, PAGE_20);
        commit(fs);
    } => ["/a a100 w100 | /other o1", "/a a100 w100 z3896 | /other o1", "/a a100 w100 z81820 | /other o1"];

    the_last_block_and_a_page_with_the_page_written_back: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        write(&file, b'w', 100, 100);
        write(&file, b'v', 100, PAGE_20);
        commit(fs);
    } => ["/a a100 w100 z81720 v100 | /other o1", "/a a100 z81820 v100 | /other o1",
          "/a a100 z81820 v100 | /other o1"];

    two_appends_with_the_first_written_back: |fs| {
        let file = durable(fs, "/f", b"");
        write(&file, b'w', 100, 0);
        write(&file, b'v', 100, 100);
        commit(fs);
    } => ["/f w100 z100 | /other o1", "/f w100 | /other o1", "/f w100 | /other o1"];

    a_file_emptied_and_written_anew: |fs| {
        durable(fs, "/a", &[b'a'; 100]);
        new(fs, "/a", b'w', 300);
        commit(fs);
    } => ["/a - | /other o1", "/a - | /other o1", "/a - | /other o1"];

    an_overwrite: |fs| {
        write(&durable(fs, "/a", &[b'a'; 100]), b'w', 50, 0);
        commit(fs);
    } => ["/a a100 | /other o1", "/a a100 | /other o1", "/a a100 | /other o1"];

    a_link_then_fdatasync: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        fs.hard_link("/a", "/b").unwrap();
        file.sync_data().unwrap();
    } => ["/a a100", "/a a100 | /b a100", "/a a100 | /b a100"];

    a_link_and_an_append_then_fdatasync: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        fs.hard_link("/a", "/b").unwrap();
        write(&file, b'b', 10, 100);
        file.sync_data().unwrap();
    } => ["/a a100 b10 | /b a100 b10", "/a a100 b10 | /b a100 b10", "/a a100 b10 | /b a100 b10"];

    a_rename_then_fdatasync: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        fs.rename("/a", "/b").unwrap();
        file.sync_data().unwrap();
    } => ["/a a100", "/b a100", "/b a100"];

    a_rename_then_fsync: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        fs.rename("/a", "/b").unwrap();
        file.sync_all().unwrap();
    } => ["/b a100", "/b a100", "/b a100"];

    a_rename_alone: |fs| {
        durable(fs, "/a", &[b'a'; 100]);
        fs.rename("/a", "/b").unwrap();
    } => ["/a a100", "/a a100", "/a a100"];

    a_removal_alone: |fs| {
        durable(fs, "/a", &[b'a'; 100]);
        fs.remove_file("/a").unwrap();
    } => ["/a a100", "/a a100", "/a a100"];

    a_removal_then_fdatasync: |fs| {
        let file = durable(fs, "/a", &[b'a'; 100]);
        fs.remove_file("/a").unwrap();
        file.sync_data().unwrap();
    } => ["/a a100", "nothing", "nothing"];

    a_rename_of_synced_bytes_over_a_file: |fs| {
        two_files(fs);
        new_synced(fs, "/t", b't', 5);
        fs.rename("/t", "/a").unwrap();
    } => ["/a a10 | /b b10 | /t t5", "/a a10 | /b b10 | /t t5", "/a a10 | /b b10 | /t t5"];

    a_rename_of_bytes_over_a_file: |fs| {
        two_files(fs);
        new(fs, "/t", b't', 5);
        fs.rename("/t", "/a").unwrap();
        commit(fs);
    } => ["/a t5 | /b b10 | /other o1", "/a - | /b b10 | /other o1", "/a t5 | /b b10 | /other o1"];

    a_removed_name_used_again_and_synced: |fs| {
        durable(fs, "/a", &[b'a'; 100]);
        fs.remove_file("/a").unwrap();
        new_synced(fs, "/a", b'n', 10);
    } => ["/a n10", "/a n10", "/a n10"];

    one_of_two_names_removed_and_fsync: |fs| {
        two_names(fs);
        fs.remove_file("/b").unwrap();
        open(fs, "/a").sync_all().unwrap();
    } => ["/a a10", "/a a10", "/a a10"];

    a_removal_then_a_sibling_synced: |fs| {
        two_files(fs);
        fs.remove_file("/a").unwrap();
        new_synced(fs, "/g", b'g', 1);
    } => ["/b b10 | /g g1", "/b b10 | /g g1", "/a a10 | /b b10 | /g g1"];

    a_rename_then_a_sibling_synced: |fs| {
        two_files(fs);
        fs.rename("/a", "/c").unwrap();
        new_synced(fs, "/g", b'g', 1);
    } => ["/b b10 | /c a10 | /g g1", "/b b10 | /c a10 | /g g1", "/a a10 | /b b10 | /g g1"];

    a_new_file_then_a_sibling_synced: |fs| {
        new(fs, "/s", b's', 1);
        new_synced(fs, "/g", b'g', 1);
    } => ["/g g1 | /s -", "/g g1 | /s -", "/g g1"];

    a_vacated_name_used_again_and_synced: |fs| {
        durable(fs, "/a", &[b'a'; 100]);
        fs.rename("/a", "/b").unwrap();
        new_synced(fs, "/a", b'n', 1);
    } => ["/a n1 | /b a100", "/a n1 | /b a100", "/a n1 | /b a100"];

    a_rename_to_a_vacated_name_and_fsync: |fs| {
        two_files(fs);
        fs.rename("/a", "/t").unwrap();
        fs.rename("/b", "/a").unwrap();
        open(fs, "/a").sync_all().unwrap();
    } => ["/a b10 | /t a10", "/a b10 | /t a10", "/a b10 | /t a10"];

    a_rename_over_a_renamed_file_and_fsync: |fs| {
        two_files(fs);
        fs.rename("/a", "/c").unwrap();
        fs.rename("/b", "/c").unwrap();
        open(fs, "/c").sync_all().unwrap();
    } => ["/c b10", "/c b10", "/c b10"];

    a_move_with_the_target_synced: |fs| {
        file_and_directory(fs);
        fs.rename("/a", "/x/a").unwrap();
        fs.sync_dir("/x").unwrap();
    } => ["/x/a a10", "/x/a a10", "/a a10 | /x/a a10"];

    a_move_with_the_source_synced: |fs| {
        file_and_directory(fs);
        fs.rename("/a", "/x/a").unwrap();
        fs.sync_dir("/").unwrap();
    } => ["/x/a a10", "/x/a a10", "/x/a a10"];

    a_move_with_the_file_synced: |fs| {
        file_and_directory(fs);
        fs.rename("/a", "/x/a").unwrap();
        open(fs, "/x/a").sync_all().unwrap();
    } => ["/x/a a10", "/x/a a10", "/x/a a10"];

    a_move_into_a_new_directory_with_the_source_synced: |fs| {
        file_and_directory(fs);
        fs.create_dir("/x/d").unwrap();
        fs.rename("/a", "/x/d/a").unwrap();
        fs.sync_dir("/").unwrap();
    } => ["/x/d/a a10", "/x/d/a a10", "/x/d/a a10"];

    a_move_of_a_directory_with_the_target_synced: |fs| {
        durable_dir(fs, "/x");
        durable_dir(fs, "/s");
        durable(fs, "/s/f", b"f");
        fs.rename("/s", "/x/s").unwrap();
        fs.sync_dir("/x").unwrap();
    } => ["/x/s/f f1", "/x/s/f f1", "/x/s/f f1"];

    new_directories_with_the_file_in_them_synced: |fs| {
        fs.create_dir("/d").unwrap();
        fs.create_dir("/d/e").unwrap();
        new_synced(fs, "/d/e/f", b'f', 1);
    } => ["/d/e/f f1", "/d/e/f f1", "/d/e/f f1"];

    a_new_directory_synced: |fs| {
        fs.create_dir("/d").unwrap();
        new(fs, "/d/f", b'f', 1);
        fs.sync_dir("/d").unwrap();
    } => ["/d/f -", "/d/f -", "/d/f -"];

    a_directory_synced_in_which_nothing_changed: |fs| {
        durable_dir(fs, "/p");
        durable_dir(fs, "/q");
        new(fs, "/p/f", b'f', 1);
        fs.sync_dir("/q").unwrap();
    } => ["/p/f - | /q/", "/p/ | /q/", "/p/ | /q/"];

    a_cut_then_fdatasync: |fs| {
        two_names(fs);
        let file = open(fs, "/a");
        file.set_len(5).unwrap();
        file.sync_data().unwrap();
    } => ["/a a5 | /b a5", "/a a5 | /b a5", "/a a5 | /b a5"];
}
