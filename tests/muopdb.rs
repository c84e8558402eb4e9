//! MuopDB's files, built from their documented layout: whole ones read as they were written, damage
//! ends the reading where it shows, other eras are recognised. And, where the environment variable
//! `MUOPDB_GOLDEN` names a folder of them, files that MuopDB itself wrote.

use groupwal::Documents;
use groupwal::Op;
use groupwal::muopdb::{Damage, Decoder, Era, HEADER_BYTES, Header, Step, file_id};

/// Entries as the tests describe them.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    op: Op,
    docs: Vec<u128>,
    users: Vec<u128>,
    bits: Vec<u32>,
}

fn insert(docs: &[u128], users: &[u128], floats: &[f32]) -> Wanted {
    Wanted {
        op: Op::Insert,
        docs: docs.to_vec(),
        users: users.to_vec(),
        bits: floats.iter().map(|float| float.to_bits()).collect(),
    }
}

fn delete(docs: &[u128], users: &[u128]) -> Wanted {
    Wanted {
        op: Op::Delete,
        ..insert(docs, users, &[])
    }
}

impl Wanted {
    fn of(documents: &Documents<'_>) -> Self {
        Self {
            op: documents.op(),
            docs: documents.doc_ids().collect(),
            users: documents.user_ids().collect(),
            bits: documents.vectors().map(f32::to_bits).collect(),
        }
    }

    /// The bytes of an entry; with `attributes`, as since December 2025.
    fn bytes(&self, attributes: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend((self.docs.len() as u64).to_le_bytes());
        body.extend((self.users.len() as u64).to_le_bytes());
        for id in self.docs.iter().chain(&self.users) {
            body.extend(id.to_le_bytes());
        }
        for bits in &self.bits {
            body.extend(bits.to_le_bytes());
        }
        if let Some(attributes) = attributes {
            body.extend(u32::try_from(attributes.len()).unwrap().to_le_bytes());
            body.extend(attributes);
        }
        body.push(u8::from(self.op == Op::Delete));
        let len = u32::try_from(body.len()).unwrap();
        [&len.to_le_bytes()[..], &body].concat()
    }
}

fn some_entries() -> Vec<Wanted> {
    vec![
        insert(&[1], &[9], &[1.0, 2.0, 3.0, 4.0]),
        delete(&[1], &[9]),
        insert(
            &[2, 3],
            &[9, 8],
            &[5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, f32::NAN],
        ),
        insert(&[u128::MAX], &[], &[0.5, -0.0, f32::INFINITY, 1e-40]),
    ]
}

fn article(entries: &[Wanted]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.bytes(None)).collect()
}

/// How the reading of a file's entries ends.
#[derive(Clone, Debug, PartialEq)]
enum End {
    Whole,
    Ambiguous,
    Damaged(u64, Damage),
    /// The last entry before the damage is two halves.
    Torn(u64),
    OtherEra(Era),
}

/// Reads entries, handing out only `at_once` bytes more than were asked for.
fn read_in_pieces(bytes: &[u8], at_once: usize) -> (Vec<Wanted>, End) {
    let mut decoder = Decoder::new(1 << 20);
    let mut entries = Vec::new();
    let (mut at, mut given) = (0, at_once);
    let mut last = 0;
    loop {
        let left = bytes.len() - at;
        let window = &bytes[at..at + given.min(left)];
        match decoder.next(window, left as u64) {
            Step::Entry(documents, taken) => {
                entries.push(Wanted::of(&documents));
                last = at;
                at += taken;
                given = at_once;
            }
            Step::NeedMore(more) => {
                assert!(
                    more > window.len() && more <= left,
                    "{more} of {left} are asked for"
                );
                given = more + at_once;
            }
            Step::End if decoder.is_ambiguous() => return (entries, End::Ambiguous),
            Step::End => return (entries, End::Whole),
            Step::Damaged(_) if decoder.is_torn(&bytes[last..at], &bytes[at..], left as u64) => {
                entries.pop();
                return (entries, End::Torn(last as u64));
            }
            Step::Damaged(damage) => return (entries, End::Damaged(at as u64, damage)),
            Step::OtherEra(era) => return (entries, End::OtherEra(era)),
        }
    }
}

/// Reads entries; it makes no difference how much of the file is at hand.
fn read(bytes: &[u8]) -> (Vec<Wanted>, End) {
    let whole = read_in_pieces(bytes, bytes.len());
    for at_once in [0, 1, 7, 30] {
        assert_eq!(read_in_pieces(bytes, at_once), whole);
    }
    whole
}

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

mod golden {
    use std::path::{Path, PathBuf};

    use serde_json::Value;

    use super::*;

    /// The folder with files that MuopDB wrote, if there is one.
    fn folder() -> Option<PathBuf> {
        let folder = std::env::var_os("MUOPDB_GOLDEN").map(PathBuf::from);
        if folder.is_none() {
            eprintln!("skipped: MUOPDB_GOLDEN does not name a folder of files written by MuopDB");
        }
        folder
    }

    fn json(path: &Path) -> Value {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn wanted(entry: &Value) -> (u64, Wanted) {
        let ids = |name: &str| {
            let ids = entry[name].as_array().unwrap().iter();
            ids.map(|id| u128::from_str_radix(id.as_str().unwrap(), 16).unwrap())
                .collect()
        };
        let bits = entry["data_f32_bits_hex"].as_array().unwrap().iter();
        let wanted = Wanted {
            op: match entry["op"].as_str().unwrap() {
                "insert" => Op::Insert,
                "delete" => Op::Delete,
                other => panic!("{other}"),
            },
            docs: ids("doc_ids_hex"),
            users: ids("user_ids_hex"),
            bits: bits
                .map(|b| u32::from_str_radix(b.as_str().unwrap(), 16).unwrap())
                .collect(),
        };
        (entry["acked_seq_no"].as_u64().unwrap(), wanted)
    }

    fn all_wanted(expected: &Value, name: &str) -> Vec<(u64, Wanted)> {
        expected[name]
            .as_array()
            .unwrap()
            .iter()
            .map(wanted)
            .collect()
    }

    /// A file's entries with their numbers, and how it ends; `None` if it has no header.
    fn read_file(path: &Path) -> Option<(Header, Vec<(u64, Wanted)>, End)> {
        let bytes = std::fs::read(path).unwrap();
        let header = Header::decode(&bytes)?;
        let (entries, end) = read(&bytes[HEADER_BYTES..]);
        let first = header.first_seq().unwrap();
        Some((header, (first..).zip(entries).collect(), end))
    }

    #[test]
    fn every_folder_reads_as_muopdb_acknowledged_it() {
        let Some(golden) = folder() else { return };
        for (name, folder) in [
            ("a_inserts_deletes", "wal"),
            ("b_multi_user_multi_doc", "wal"),
            ("d_rotation_trim", "wal"),
            ("d_rotation_trim", "wal_before_trim"),
        ] {
            let expected = all_wanted(&json(&golden.join(name).join("expected.json")), "entries");
            let folder = golden.join(name).join(folder);
            let files = std::fs::read_dir(&folder).unwrap();
            let mut ids: Vec<u64> = files
                .map(|file| file_id(file.unwrap().file_name().to_str().unwrap()).unwrap())
                .collect();
            ids.sort_unstable();
            let mut found = Vec::new();
            for id in ids {
                let (header, entries, end) = read_file(&folder.join(format!("wal.{id}"))).unwrap();
                assert!(header.has_magic);
                assert_eq!(end, End::Whole, "{name}");
                found.extend(entries);
            }
            let first = found[0].0;
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|(seq, _)| *seq >= first)
                .collect();
            assert!(!found.is_empty());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn every_torn_variant_keeps_its_intact_prefix() {
        let Some(golden) = folder() else { return };
        let golden = golden.join("c_torn");
        let expected = json(&golden.join("expected.json"));
        let entries = all_wanted(&expected, "entries");
        let cases = expected["cases"].as_object().unwrap();
        assert_eq!(cases.len(), 17);
        for (name, case) in cases {
            let intact = usize::try_from(case["intact_prefix_entries"].as_u64().unwrap()).unwrap();
            let read = read_file(&golden.join(case["file"].as_str().unwrap()));
            let Some((header, found, end)) = read else {
                assert!(
                    ["empty", "header_torn_10"].contains(&name.as_str()),
                    "{name}"
                );
                assert_eq!(intact, 0, "{name}");
                continue;
            };
            assert_eq!(header.has_magic, name != "bad_magic");
            if name == "data_bitflip_first" {
                // One bit in an entry. Without a checksum no reader can see it; all that can be said
                // is that it is the only one.
                let changed = |(found, whole): (&(u64, Wanted), &(u64, Wanted))| {
                    let bytes = found.1.bytes(None).into_iter().zip(whole.1.bytes(None));
                    bytes.map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
                };
                let flipped: Vec<u32> = found.iter().zip(&entries).map(changed).collect();
                assert_eq!(flipped, [1, 0, 0]);
                assert_eq!((found.len(), end), (3, End::Whole));
                continue;
            }
            assert_eq!(found, entries[..intact], "{name}");
            let whole = ["full", "header_only", "bad_magic"].contains(&name.as_str());
            match end {
                End::Whole => assert!(whole, "{name}"),
                End::Damaged(at, _) => {
                    let ends = expected["entry_end_offsets"].as_array().unwrap();
                    let offset = HEADER_BYTES as u64 + at;
                    assert!(
                        !whole && ends[intact].as_u64() == Some(offset),
                        "{name}: {offset}"
                    );
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_muopdb_made_of_its_own_errors_is_not_believed() {
        let Some(golden) = folder() else { return };
        let torn = golden.join("e_append_after_torn_tail");
        let before = all_wanted(&json(&torn.join("expected.json")), "written_before_cut");
        let (_, found, end) = read_file(&torn.join("wal/wal.0")).unwrap();
        assert_eq!(
            found,
            before[..1],
            "the second one is cut, and another behind it"
        );
        assert!(matches!(end, End::Torn(..)), "{end:?}");
        let (_, found, end) = read_file(&golden.join("f_double_header/wal.3")).unwrap();
        assert!(
            found.is_empty() && matches!(end, End::Damaged(0, _)),
            "{end:?}"
        );
        let midfile = golden.join("h_append_error_midfile");
        let intact = json(&midfile.join("expected.json"))["intact_prefix_entries"].as_u64();
        let (_, found, end) = read_file(&midfile.join("wal/wal.0")).unwrap();
        assert!(matches!(end, End::Torn(..)), "{end:?}");
        assert_eq!(Some(found.len() as u64), intact);
        let whole = found.iter().take_while(|(seq, entry)| {
            entry.docs == [u128::from(*seq)]
                && entry.bits.iter().all(|b| f32::from_bits(*b) == *seq as f32)
        });
        assert_eq!(whole.count(), found.len());
    }
}
