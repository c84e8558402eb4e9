//! Looking at a log without changing it: the verdict is recovery's own, every byte that the log wrote
//! is looked at, and a writer at work is no damage.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use groupwal::inspect::Reader;
use groupwal::{Storage, Wal};
use support::image::{frames, segment_names, watermark};
use support::mem::{Image, MemStorage};
use support::over::{Layer, Over};
use support::tiny::{
    DIR, append_all, contents, open, open_with, options, payload, payloads, ready,
};

/// What a reader makes of an image: its entries, or how it is damaged, and where padding is.
struct Look {
    entries: Vec<(u64, Vec<u8>)>,
    end: Result<(), groupwal::Error>,
    stray: Vec<(String, u64)>,
    durable_seq: u64,
    sealed: bool,
    torn: bool,
}

fn look(storage: &MemStorage) -> Result<Look, groupwal::Error> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let mut reader = Reader::open_with(&storage, DIR)?.strict();
    let mut entries = Vec::new();
    let end = loop {
        match reader.next_group() {
            Ok(Some(group)) => entries.extend(group.records().map(|record| {
                let groupwal::Entry::Bytes(bytes) = record.entry else {
                    panic!("{record:?}")
                };
                (record.seq, bytes.to_vec())
            })),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let stray = reader.stray().iter();
    Ok(Look {
        stray: stray.map(|s| (name(&s.path), s.offset)).collect(),
        durable_seq: reader.durable_seq(),
        sealed: reader.report().sealed,
        torn: reader.report().discarded.is_some(),
        entries,
        end,
    })
}

/// Three segments of single entries and a batch.
fn subject(sealed: bool) -> Image {
    let storage = MemStorage::new(5);
    let small = options().segment_bytes(3072).group_bytes_max(1400);
    let wal = open_with(Arc::new(storage.clone()), small).unwrap();
    append_all(&wal, 0..3);
    let batch: Vec<_> = (3..6).map(payload).collect();
    ready(wal.append_batch(&batch)).unwrap();
    append_all(&wal, 6..7);
    if sealed {
        ready(wal.close()).unwrap();
    }
    storage.snapshot()
}

#[test]
fn a_reader_says_of_every_damage_what_recovery_says() {
    for image in [subject(false), subject(true)] {
        for name in segment_names(&image) {
            for bit in 0..8 * image[&name].len() {
                let mut damaged = image.clone();
                damaged.get_mut(&name).unwrap()[bit / 8] ^= 1 << (bit % 8);
                let seen = look(&MemStorage::from_snapshot(&damaged, 1));
                let storage = MemStorage::from_snapshot(&damaged, 1);
                let opened = open(&storage);
                let what = format!("bit {bit} of {name}");
                match (seen, opened) {
                    (
                        Ok(Look {
                            end: Ok(()),
                            entries,
                            torn,
                            sealed,
                            ..
                        }),
                        Ok(wal),
                    ) => {
                        assert_eq!(entries, contents(&wal), "{what}");
                        assert_eq!(torn, wal.recovery().discarded.is_some(), "{what}");
                        assert_eq!(sealed, wal.recovery().sealed, "{what}");
                    }
                    (Ok(Look { end: Err(seen), .. }) | Err(seen), Err(opened)) => {
                        assert_eq!(seen.to_string(), opened.to_string(), "{what}");
                        assert_eq!(seen.corrupt_at(), opened.corrupt_at(), "{what}");
                    }
                    (seen, opened) => {
                        let seen = seen.and_then(|look| look.end);
                        panic!("{what}: {seen:?}, but recovery: {opened:?}");
                    }
                }
                assert_eq!(MemStorage::from_snapshot(&damaged, 1).snapshot(), damaged);
            }
        }
    }
}

#[test]
fn every_byte_below_the_watermark_is_looked_at() {
    for image in [subject(false), subject(true)] {
        let vouched = watermark(&image);
        let all = frames(&image);
        let mut looked_at = 0;
        for frame in all
            .iter()
            .filter(|f| f.header.end_seq() <= vouched && !f.header.seal)
        {
            let end = frame.range().end.next_multiple_of(512);
            for at in frame.offset..end {
                let mut damaged = image.clone();
                damaged.get_mut(&frame.file).unwrap()[at] ^= 0x10;
                let seen = look(&MemStorage::from_snapshot(&damaged, 1)).unwrap();
                if at < frame.range().end {
                    let error = seen.end.expect_err("the damage is seen");
                    let (path, offset) = error.corrupt_at().expect("it is damage");
                    assert_eq!(
                        path.file_name().unwrap().to_str(),
                        Some(frame.file.as_str())
                    );
                    assert_eq!(offset, frame.offset as u64);
                } else {
                    assert!(seen.end.is_ok());
                    assert_eq!(seen.stray, [(frame.file.clone(), at as u64)]);
                }
                looked_at += 1;
            }
        }
        assert!(looked_at > 512 * 4, "only {looked_at} bytes");
        for name in segment_names(&image) {
            for at in 0..512 {
                let mut damaged = image.clone();
                damaged.get_mut(&name).unwrap()[at] ^= 0x10;
                match look(&MemStorage::from_snapshot(&damaged, 1)) {
                    Ok(seen) => assert_eq!(seen.stray, [(name.clone(), at as u64)], "byte {at}"),
                    Err(error) => assert!(at < 64 && error.corrupt_at().is_some(), "{error}"),
                }
            }
        }
    }
}

#[test]
fn an_intact_log_has_no_stray_byte_even_in_recycled_files() {
    let storage = MemStorage::new(3);
    let wal = open_with(Arc::new(storage.clone()), options().spare_segments_max(2)).unwrap();
    for round in 0..6 {
        append_all(&wal, round * 10..(round + 1) * 10);
        ready(wal.trim(round * 10)).unwrap();
    }
    drop(wal);
    let seen = look(&storage).unwrap();
    seen.end.unwrap();
    assert_eq!(seen.stray, []);
    let first = seen.entries[0].0;
    assert_eq!(seen.entries, payloads(first..60));
    assert_eq!(
        seen.durable_seq, 60,
        "the last trim wrote a frame of its own"
    );
}

/// The owner of the log appends whenever somebody has read from a file.
#[derive(Clone)]
struct Busy {
    wal: Arc<Wal>,
    /// Entries that are still to be appended.
    left: Arc<AtomicU64>,
}

impl Layer for Busy {
    fn was_read(&self) {
        // Two at a time: the second one vouches for the first.
        for _ in 0..2 {
            if self.left.load(Ordering::SeqCst) > 0 {
                self.left.fetch_sub(1, Ordering::SeqCst);
                let next = self.wal.durable_seq();
                append_all(&self.wal, next..next + 1);
            }
        }
    }
}

/// A reader looked at the place behind the last frame, the writer wrote there and behind it, and the
/// reader, going on, found a frame that vouched for what it had not seen: a healthy log was called
/// corrupt. Now the place is looked at again first.
#[test]
fn what_is_written_between_two_looks_is_no_damage() {
    for more in 0..6 {
        let inner = MemStorage::new(4);
        let wal = Arc::new(open(&inner).unwrap());
        append_all(&wal, 0..1);
        let layer = Busy {
            wal: wal.clone(),
            left: Arc::new(AtomicU64::new(more)),
        };
        let storage: Arc<dyn Storage> = Arc::new(Over { inner, layer });
        let mut reader = Reader::open_with(&storage, DIR).unwrap();
        let mut next = 0;
        while let Some(group) = reader.next_group().unwrap() {
            assert_eq!(group.header.first_seq, next);
            next = group.header.end_seq();
        }
        assert!(next >= 1 && next <= wal.durable_seq());
    }
}

#[test]
fn a_writer_at_work_is_no_damage() {
    let storage = MemStorage::new(9);
    let wal = open_with(Arc::new(storage.clone()), options().spare_segments_max(1)).unwrap();
    append_all(&wal, 0..1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for seq in 1..20_000 {
                append_all(&wal, seq..seq + 1);
                if seq % 64 == 0 {
                    ready(wal.trim(seq - 40)).unwrap();
                }
            }
        });
        let mut looks = 0_u32;
        while !writer.is_finished() || looks == 0 {
            match look(&storage).map(|seen| (seen.end, seen.entries)) {
                Ok((Ok(()), entries)) => {
                    let (first, last) = (entries[0].0, entries[entries.len() - 1].0);
                    assert_eq!(entries, payloads(first..last + 1));
                    looks += 1;
                }
                // It may also change faster than a busy machine can look at it.
                Ok((Err(error), _)) | Err(error) => {
                    assert!(error.is_trimmed() || error.is_locked(), "{error}");
                }
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_torn_frame_is_the_end_and_no_damage() {
    let storage = MemStorage::new(2);
    let wal = open(&storage).unwrap();
    append_all(&wal, 0..3);
    drop(wal);
    let mut image = storage.snapshot();
    let last = frames(&image).pop().unwrap();
    let byte = last.range().end - 1;
    image.get_mut(&last.file).unwrap()[byte] ^= 1;
    let seen = look(&MemStorage::from_snapshot(&image, 1)).unwrap();
    seen.end.unwrap();
    assert!(seen.torn && !seen.sealed);
    assert_eq!(seen.entries, payloads(0..2));
    assert_eq!(
        seen.durable_seq, 2,
        "the torn frame's header vouches for what came before it"
    );
}

#[test]
fn a_directory_without_a_log_is_an_error_that_names_it() {
    let storage: Arc<dyn Storage> = Arc::new(MemStorage::new(1));
    let error = Reader::open_with(&storage, DIR).unwrap_err();
    assert!(!error.is_corruption());
    assert!(error.to_string().contains(DIR), "{error}");
}
