//! MuopDB's files, built from their documented layout: whole ones read as they were written, damage
//! ends the reading where it shows, other eras are recognised. And, where the environment variable
//! `MUOPDB_GOLDEN` names a folder of them, files that MuopDB itself wrote.

mod entries;
mod golden;

use groupwal::muopdb::{Damage, Era, HEADER_BYTES, Header, file_id};

use entries::{End, Wanted, article, delete, insert, read, some_entries};

#[test]
fn entries_read_as_they_were_written() {
    let entries = some_entries();
    assert_eq!(read(&article(&entries)), (entries, End::Whole));
    assert_eq!(read(&[]), (Vec::new(), End::Whole));
}

#[test]
fn a_header_says_where_the_file_begins() {
    let bytes = |start: i64| [b"version1".as_slice(), &start.to_le_bytes()].concat();
    assert_eq!(HEADER_BYTES, 16);
    let header = Header::decode(&bytes(-1)).unwrap();
    assert!(header.has_magic);
    assert_eq!(header.first_seq(), Some(0));
    assert_eq!(Header::decode(&bytes(41)).unwrap().first_seq(), Some(42));
    for nowhere in [-2, i64::MIN, i64::MAX] {
        assert_eq!(Header::decode(&bytes(nowhere)).unwrap().first_seq(), None);
    }
    let mut damaged = bytes(7);
    damaged[0] ^= 0x20;
    assert!(!Header::decode(&damaged).unwrap().has_magic);
    assert_eq!(Header::decode(&bytes(0)[..15]), None);
}

#[test]
fn files_are_known_by_their_names() {
    assert_eq!(file_id("wal.0"), Some(0));
    assert_eq!(file_id("wal.120"), Some(120));
    for other in [
        "wal.",
        "wal.01",
        "wal.-1",
        "wal.+1",
        "wal.1.tmp",
        "wal",
        "xwal.1",
        "wal.99999999999999999999",
    ] {
        assert_eq!(file_id(other), None, "{other}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_keeps_the_entries_before() {
    let entries = some_entries();
    let bytes = article(&entries);
    let ends: Vec<usize> = (1..=entries.len())
        .map(|n| article(&entries[..n]).len())
        .collect();
    for len in 1..bytes.len() {
        let (found, end) = read(&bytes[..len]);
        let whole = ends.iter().filter(|end| **end <= len).count();
        assert_eq!(found, entries[..whole], "cut at {len}");
        let at_a_boundary = ends.contains(&len);
        let start = if whole == 0 { 0 } else { ends[whole - 1] };
        match end {
            End::Whole => assert!(at_a_boundary),
            End::Damaged(at, Damage::CutShort { left, needed }) => {
                assert!(!at_a_boundary && at == start as u64);
                assert!(left == (len - start) as u64 && needed > left);
            }
            other => panic!("cut at {len}: {other:?}"),
        }
    }
}

#[test]
fn a_tail_of_zeros_ends_the_file() {
    let entries = some_entries();
    for zeros in 1..64 {
        let mut bytes = article(&entries);
        let len = bytes.len() as u64;
        bytes.resize(bytes.len() + zeros, 0);
        let (found, end) = read(&bytes);
        assert_eq!(found, entries);
        assert!(
            matches!(end, End::Damaged(at, _) if at == len),
            "{zeros}: {end:?}"
        );
    }
}

/// Lengths and counts reached the disk, the bytes behind them did not.
#[test]
fn an_entry_of_zeros_is_none_unless_it_could_have_been_written() {
    let zeros =
        |docs: usize, users: usize| insert(&vec![0; docs], &vec![0; users], &vec![0.0; 4 * docs]);
    let first = insert(&[1], &[9], &[1.0, 2.0, 3.0, 4.0]);
    // The same document twice: nobody writes that.
    for twice in [zeros(2, 1), zeros(1, 2)] {
        for behind in [vec![], vec![first.clone()]] {
            let all = [vec![first.clone(), twice.clone()], behind].concat();
            let (found, end) = read(&article(&all));
            assert_eq!(found, all[..1]);
            assert_eq!(
                end,
                End::Damaged(article(&all[..1]).len() as u64, Damage::Zeros)
            );
        }
    }
    // Document 0 for user 0 with a vector of zeros: it may have been inserted, but at the end of a file
    // it is more likely what a crash left.
    let all = [zeros(1, 1), first.clone()];
    assert_eq!(read(&article(&all)), (all.to_vec(), End::Whole));
    let all = [first, zeros(1, 1)];
    assert!(matches!(
        read(&article(&all)).1,
        End::Damaged(_, Damage::Zeros)
    ));
}

#[test]
fn contradictions_are_damage() {
    let entries = some_entries();
    let bytes = article(&entries);
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let (found, end) = read(&bytes);
        let End::Damaged(at, damage) = end else {
            panic!("{end:?} after {found:?}")
        };
        (found.len(), at, damage)
    };
    // Length, documents, users, operation of the first entry; the vectors of the third.
    assert!(matches!(
        damaged(&|b| b[0] ^= 1),
        (0, 0, Damage::Misfit { .. })
    ));
    assert!(matches!(
        damaged(&|b| b[2] |= 0x40),
        (0, 0, Damage::CutShort { .. })
    ));
    assert!(matches!(
        damaged(&|b| b[0] = 16),
        (0, 0, Damage::TooShort(16))
    ));
    assert!(matches!(
        damaged(&|b| b[4] = 3),
        (0, 0, Damage::Misfit { docs: 3, .. })
    ));
    assert!(matches!(
        damaged(&|b| b[12] = 9),
        (0, 0, Damage::Misfit { users: 9, .. })
    ));
    assert_eq!(damaged(&|b| b[68] = 7), (0, 0, Damage::UnknownOp(7)));
    assert_eq!(
        damaged(&|b| b[68] = 1),
        (0, 0, Damage::Vectors),
        "a delete has none"
    );
    let dimensions = Damage::Dimensions {
        expected: 4,
        found: 8,
    };
    assert!(matches!(
        damaged(&|b| b[69 + 53 + 4] = 1),
        (2, 122, Damage::Dimensions { .. })
    ));
    let odd = [insert(&[1], &[1], &[1.0; 4]), insert(&[2], &[1], &[1.0; 8])];
    assert_eq!(read(&article(&odd)).1, End::Damaged(69, dimensions));
    let large = insert(&[1], &[1], &vec![1.0; 1 << 19]);
    assert!(matches!(
        read(&article(&[large])).1,
        End::Damaged(0, Damage::TooLarge { .. })
    ));
}

/// MuopDB appends behind a torn entry, and takes its first half and the next one's second half for one.
#[test]
fn an_entry_that_was_appended_behind_a_torn_one_does_not_complete_it() {
    let entries = some_entries();
    let first = entries[0].bytes(None);
    for cut in 1..first.len() {
        let torn = insert(&[7], &[8], &[1.0, 2.0, 3.0, 4.0]).bytes(None);
        let bytes = [&first, &torn[..cut], &article(&entries)].concat();
        let (found, end) = read(&bytes);
        assert_eq!(found, entries[..1], "cut at {cut}: {end:?}");
        assert!(
            matches!(end, End::Torn(at) | End::Damaged(at, _) if at == first.len() as u64),
            "cut at {cut}: {end:?}"
        );
    }
}

#[test]
fn files_from_before_may_2025_are_recognised() {
    for entries in [
        some_entries(),
        vec![delete(&[1], &[2])],
        some_entries()[3..].to_vec(),
    ] {
        for count in [1_u32, 4, 17, 500, 1 << 20] {
            let bytes = [count.to_le_bytes().to_vec(), article(&entries)].concat();
            assert_eq!(
                read(&bytes),
                (Vec::new(), End::OtherEra(Era::BeforeMay2025)),
                "{count}"
            );
        }
    }
    assert_eq!(read(&[0; 4]).1, End::OtherEra(Era::BeforeMay2025));
}

#[test]
fn files_since_december_2025_are_recognised_or_ambiguous() {
    let december = |entries: &[Wanted], attributes: &[u8]| -> Vec<u8> {
        let bytes = entries
            .iter()
            .flat_map(|entry| entry.bytes(Some(attributes)));
        bytes.collect()
    };
    let since = End::OtherEra(Era::SinceDecember2025);
    // With a delete or two documents it shows; and so it does where a single insert comes before.
    for attributes in [&b""[..], b"x", b"four", b"a colour"] {
        let (_, end) = read(&december(&some_entries(), attributes));
        assert_eq!(end, since, "{attributes:?}");
        let (_, end) = read(&december(&some_entries()[1..], attributes));
        assert_eq!(end, since, "{attributes:?}");
    }
    // Single inserts without attributes are inserts with a dimension more that is 0.0.
    let singles: Vec<_> = (1..9).map(|id| insert(&[id], &[id], &[1.5; 4])).collect();
    assert_eq!(read(&december(&singles, b"")).1, End::Ambiguous);
    assert_eq!(read(&december(&singles, b"four")).1, End::Ambiguous);
    assert_eq!(read(&december(&singles, b"xyz")).1, since);
    // What is the article's beyond doubt.
    assert_eq!(read(&article(&singles)).1, End::Whole);
}
