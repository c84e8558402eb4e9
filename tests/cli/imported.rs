//! import-muopdb: everything with its numbers, or nothing, or what came before the damage.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::tiny::{append_all, ready};

use super::muop::{header, insert, write_files};
use super::program::{Ran, groupwal, open, ran, run};
use super::support;

struct Folders {
    tmp: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("wal")).unwrap();
        Self { tmp }
    }

    fn src(&self) -> PathBuf {
        self.tmp.path().join("wal")
    }

    fn dst(&self) -> PathBuf {
        self.tmp.path().join("log")
    }

    fn file(&self, id: u64, bytes: &[u8]) {
        std::fs::write(self.src().join(format!("wal.{id}")), bytes).unwrap();
    }

    fn import(&self, more: &[&str]) -> Ran {
        let mut command = groupwal(&[&"import-muopdb", &self.src(), &self.dst()]);
        ran(&command.args(more).output().unwrap())
    }

    /// Refused: nothing is made, and what is said names the reason.
    fn is_refused(&self, reason: &str) {
        let said = self.import(&[]).ends(2).stderr;
        assert!(said.contains(reason), "'{reason}' in: {said}");
        assert_eq!(names(self.tmp.path()), ["wal"]);
    }

    fn entries(&self) -> Vec<Value> {
        run(&[&"dump", &self.dst(), &"--json"]).ends(0).json_lines()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_become_a_log_with_the_same_numbers_that_goes_on() {
    let folders = Folders::new();
    write_files(&folders.src(), 3, 1_000, 4, 50, 8);
    std::fs::write(folders.src().join("notes.txt"), "mine").unwrap();
    let said = folders
        .import(&["--json", "--segment-bytes", "65536"])
        .ends(0)
        .json();
    assert_eq!(said["entries"], 200);
    assert_eq!(
        (&said["first_seq"], &said["next_seq"]),
        (&1_000.into(), &1_200.into())
    );
    assert_eq!(
        (&said["stopped"], &said["ignored"]),
        (&Value::Null, &json!(["notes.txt"]))
    );
    let entries = folders.entries();
    assert_eq!(entries.len(), 200);
    for (seq, entry) in (1_000_u128..).zip(&entries) {
        assert_eq!(
            *entry,
            json!({"seq": seq, "kind": "insert", "doc_ids": [format!("{seq:032x}")],
                "user_ids": [format!("{:032x}", seq + 1)], "vectors": vec!["3f000000"; 8]})
        );
    }
    run(&[&"verify", &folders.dst()]).ends(0);
    let wal = open(&folders.dst());
    assert_eq!((wal.trim_seq(), wal.durable_seq()), (1_000, 1_200));
    append_all(&wal, 1_200..1_210);
    ready(wal.trim(1_205)).unwrap();
    // It is there now, and is not replaced.
    folders.import(&[]).ends(2);
}

#[test]
fn an_import_stops_at_damage_and_keeps_what_came_before() {
    let folders = Folders::new();
    write_files(&folders.src(), 0, 0, 3, 10, 8);
    let size = insert(0, &[0.5; 8]).len();
    let path = folders.src().join("wal.1");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16 + 4 * size] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let said = folders.import(&["--json"]).ends(3).json();
    assert_eq!(
        (&said["entries"], &said["next_seq"]),
        (&14.into(), &14.into())
    );
    let stopped = &said["stopped"];
    assert_eq!(stopped["path"], path.to_str().unwrap());
    assert_eq!(stopped["offset"], 16 + 4 * size);
    let left = 6 * size + 16 + 10 * size;
    assert_eq!(stopped["bytes_left"], left);
    assert_eq!(folders.entries().len(), 14);
}

#[test]
fn a_torn_tail_is_left_behind_and_said() {
    let folders = Folders::new();
    let whole = [header(-1), insert(1, &[1.5]), insert(2, &[2.5])].concat();
    folders.file(0, &whole[..whole.len() - 1]);
    let said = folders.import(&[]).ends(3).stdout;
    assert!(
        said.contains("stopped at byte") && said.contains("ends in the middle"),
        "{said}"
    );
    assert_eq!(folders.entries().len(), 1);
}

#[test]
fn a_file_without_a_whole_header_ends_the_log() {
    for torn in [&b""[..], b"version1\x00"] {
        let folders = Folders::new();
        folders.file(7, torn);
        folders.import(&[]).ends(3);
        assert_eq!(
            names(folders.tmp.path()),
            ["wal"],
            "nobody knows where it would begin"
        );
        write_files(&folders.src(), 6, 20, 1, 5, 4);
        let said = folders.import(&["--json"]).ends(3).json();
        assert_eq!(
            (&said["entries"], &said["next_seq"]),
            (&5.into(), &25.into())
        );
    }
}

#[test]
fn a_log_without_entries_is_a_log() {
    let folders = Folders::new();
    folders.file(2, &header(41));
    let said = folders.import(&["--json"]).ends(0).json();
    assert_eq!(
        (&said["entries"], &said["next_seq"]),
        (&0.into(), &42.into())
    );
    append_all(&open(&folders.dst()), 42..43);
}

#[test]
fn what_cannot_be_told_is_refused() {
    let whole = [header(-1), insert(1, &[1.5; 4])].concat();
    let refuse = |files: &[(u64, &[u8])], reason: &str| {
        let folders = Folders::new();
        for (id, bytes) in files {
            folders.file(*id, bytes);
        }
        folders.is_refused(reason);
        folders
    };
    refuse(&[], "no file");
    refuse(&[(0, &whole), (2, &whole)], "wal.1 is missing");
    refuse(&[(0, &whole), (1, &header(5))], "goes on with entry 6");
    refuse(&[(0, &header(-2))], "start_seq_no is -2");
    let old = [header(-1), 1_u32.to_le_bytes().to_vec(), insert(1, &[1.5])].concat();
    refuse(&[(0, &old)], "before May 2025");
    let large = [header(-1), insert(1, &vec![1.5; 1 << 14])].concat();
    let folders = Folders::new();
    folders.file(0, &large);
    let said = folders.import(&["--segment-bytes", "65536"]).ends(2).stderr;
    assert!(said.contains("--segment-bytes"), "{said}");
    folders.import(&["--segment-bytes", "1"]).ends(2);
    folders.import(&["--segment-bytes", "131072"]).ends(0);
}

#[test]
fn the_user_may_know_better() {
    let folders = Folders::new();
    let mut bytes = [header(-1), insert(1, &[1.5, 0.0]), insert(2, &[1.5, 0.0])].concat();
    folders.file(0, &bytes);
    folders.is_refused("--era article");
    folders.import(&["--era", "article"]).ends(0);
    let folders = Folders::new();
    bytes = [header(-1), insert(1, &[1.5, 2.0])].concat();
    bytes[0] = b'X';
    folders.file(0, &bytes);
    folders.is_refused("--ignore-magic");
    folders.import(&["--ignore-magic"]).ends(0);
    assert_eq!(folders.entries().len(), 1);
}

#[test]
fn what_another_attempt_has_left_is_taken_away() {
    let folders = Folders::new();
    write_files(&folders.src(), 0, 0, 1, 10, 4);
    let partial = folders.tmp.path().join("log.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("LOCK"), "").unwrap();
    std::fs::write(partial.join("00000000000000000000.seg"), "half").unwrap();
    folders.import(&[]).ends(0);
    assert_eq!(names(folders.tmp.path()), ["log", "wal"]);
    run(&[&"verify", &folders.dst()]).ends(0);
}

/// Every folder that MuopDB wrote comes back from the log as it was acknowledged.
#[test]
fn golden_files_come_back_from_the_log() {
    let Some(golden) = std::env::var_os("MUOPDB_GOLDEN").map(PathBuf::from) else {
        eprintln!("skipped: MUOPDB_GOLDEN does not name a folder of files written by MuopDB");
        return;
    };
    for (name, folder) in [
        ("a_inserts_deletes", "wal"),
        ("b_multi_user_multi_doc", "wal"),
        ("d_rotation_trim", "wal"),
        ("d_rotation_trim", "wal_before_trim"),
    ] {
        let tmp = tempfile::tempdir().unwrap();
        let log = tmp.path().join("log");
        run(&[&"import-muopdb", &golden.join(name).join(folder), &log]).ends(0);
        let found = run(&[&"dump", &log, &"--json"]).ends(0).json_lines();
        let text = std::fs::read_to_string(golden.join(name).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let first = found[0]["seq"].as_u64();
        let expected = expected["entries"].as_array().unwrap().iter();
        let expected: Vec<Value> = expected
            .filter(|entry| entry["acked_seq_no"].as_u64() >= first)
            .map(|entry| {
                let mut wanted = json!({"seq": entry["acked_seq_no"], "kind": entry["op"],
                    "doc_ids": entry["doc_ids_hex"], "user_ids": entry["user_ids_hex"]});
                if entry["op"] == "insert" {
                    wanted["vectors"] = entry["data_f32_bits_hex"].clone();
                }
                wanted
            })
            .collect();
        assert_eq!(found, expected, "{name}");
    }
}
