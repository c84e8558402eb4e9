//! Files that MuopDB itself wrote, in the folder that `MUOPDB_GOLDEN` names.

use std::path::{Path, PathBuf};

use groupwal::Op;
use groupwal::muopdb::{HEADER_BYTES, Header, file_id};
use serde_json::Value;

use crate::entries::{End, Wanted, read};

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

/// Entries with their numbers.
type Numbered = Vec<(u64, Wanted)>;

/// A file's entries with their numbers, and how it ends; `None` if it has no header.
fn read_file(path: &Path) -> Option<(Header, Numbered, End)> {
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
            && entry
                .bits
                .iter()
                .all(|bits| *bits == (*seq as f32).to_bits())
    });
    assert_eq!(whole.count(), found.len());
}
