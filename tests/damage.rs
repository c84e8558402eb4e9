//! Every single damage to a small log: each bit flipped, and everything from each byte on cut off
//! or zeroed. Opening it gives a prefix of what was there, or refuses; it never panics, and it
//! never drops in silence what the damaged log still vouches for.

mod support;

use std::sync::Arc;

use groupwal::Options;
use support::image::{frames, segment_names, watermark};
use support::mem::{Image, MemStorage};
use support::tiny::{contents, open_with, options, payload, ready, replay_from};

/// Segments of three blocks behind the header, so that a few entries make several of them.
fn smaller() -> Options {
    options().segment_bytes(3072).group_bytes_max(1400)
}

/// A log and what it holds.
struct Subject {
    image: Image,
    entries: Vec<Vec<u8>>,
    sealed: bool,
    /// Number of the first entry of the last group.
    last_group: u64,
}

impl Subject {
    /// Three segments: single entries, a batch that takes two blocks, and, with `trim`, a frame
    /// without entries and a first segment that is gone.
    fn new(trim: bool, sealed: bool) -> Self {
        let storage = MemStorage::new(7);
        let wal = open_with(Arc::new(storage.clone()), smaller()).unwrap();
        let mut entries: Vec<Vec<u8>> = Vec::new();
        let mut append = |count: u64| {
            let first = entries.len() as u64;
            let batch: Vec<_> = (first..first + count).map(payload).collect();
            assert_eq!(
                ready(wal.append_batch(&batch)).unwrap(),
                first..first + count
            );
            entries.extend(batch);
        };
        append(1);
        append(1);
        append(1);
        if trim {
            append(1);
            ready(wal.trim(3)).unwrap();
        }
        append(3);
        append(1);
        if sealed {
            ready(wal.close()).unwrap();
        }
        let image = storage.snapshot();
        let last = frames(&image)
            .into_iter()
            .rfind(|f| f.header.entry_count > 0);
        Self {
            last_group: last.unwrap().header.first_seq,
            image,
            entries,
            sealed,
        }
    }

    /// Opens a damaged copy. `vouched` is what must be there if it opens.
    fn check(&self, what: &dyn std::fmt::Debug, damaged: &Image, vouched: u64) {
        let _context = Context(what);
        let storage = MemStorage::from_snapshot(damaged, 3);
        let wal = match open_with(Arc::new(storage.clone()), smaller()) {
            Ok(wal) => wal,
            Err(error) => {
                assert!(
                    error.is_corruption() || error.to_string().contains("format version"),
                    "{error}"
                );
                assert_eq!(&storage.snapshot(), damaged, "the directory was touched");
                return;
            }
        };
        let first = wal.trim_seq();
        let found = contents(&wal);
        let end = first + found.len() as u64;
        assert!(end >= vouched, "only {end} of {vouched} entries survived");
        assert_eq!(wal.durable_seq(), end);
        let original = self.entries.iter().enumerate();
        for ((seq, bytes), (index, expected)) in found.iter().zip(original.skip(to_index(first))) {
            assert_eq!((to_index(*seq), bytes), (index, expected));
        }
        assert!(to_index(end) <= self.entries.len(), "entries were invented");
        assert_eq!(ready(wal.append(b"more")).unwrap(), end);
        drop(wal);
        let wal = open_with(Arc::new(storage), smaller()).unwrap();
        let mut expected = found;
        expected.push((end, b"more".to_vec()));
        assert_eq!(replay_from(&wal, first).unwrap(), expected);
    }

    fn flip_every_bit(&self) {
        let all = self.entries.len() as u64;
        for name in segment_names(&self.image) {
            let mut damaged = self.image.clone();
            for bit in 0..8 * self.image[&name].len() {
                damaged.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);
                let vouched = if self.sealed { all } else { self.last_group };
                self.check(&("bit flipped", &name, bit), &damaged, vouched);
                damaged.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    fn cut_and_zero_from_every_byte(&self) {
        for name in segment_names(&self.image) {
            for from in 0..self.image[&name].len() {
                let mut damaged = self.image.clone();
                damaged.get_mut(&name).unwrap().truncate(from);
                let vouched = self.entries.len() as u64;
                self.check(&("cut from byte", &name, from), &damaged, vouched);
                let mut damaged = self.image.clone();
                damaged.get_mut(&name).unwrap()[from..].fill(0);
                let vouched = watermark(&damaged);
                self.check(&("zeroed from byte", &name, from), &damaged, vouched);
            }
        }
    }
}

fn to_index(seq: u64) -> usize {
    usize::try_from(seq).unwrap()
}

/// Says which damage a panic is about.
struct Context<'a>(&'a dyn std::fmt::Debug);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the damage was: {:?}", self.0);
        }
    }
}

#[test]
fn a_flipped_bit_costs_an_unsealed_log_its_last_group_at_most() {
    Subject::new(false, false).flip_every_bit();
}

#[test]
fn a_flipped_bit_costs_a_trimmed_log_its_last_group_at_most() {
    Subject::new(true, false).flip_every_bit();
}

#[test]
fn a_flipped_bit_costs_a_sealed_log_nothing() {
    Subject::new(false, true).flip_every_bit();
}

#[test]
fn a_log_that_is_cut_or_zeroed_from_any_byte_keeps_what_it_vouches_for() {
    Subject::new(false, false).cut_and_zero_from_every_byte();
}

#[test]
fn a_trimmed_log_that_is_cut_or_zeroed_from_any_byte_keeps_what_it_vouches_for() {
    Subject::new(true, false).cut_and_zero_from_every_byte();
}

#[test]
fn a_sealed_log_that_is_cut_or_zeroed_from_any_byte_keeps_what_it_vouches_for() {
    Subject::new(false, true).cut_and_zero_from_every_byte();
}
