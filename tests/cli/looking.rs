//! dump and verify: what they say, and what they leave alone.

use groupwal::{Delete, Insert};
use support::tiny::{append_all, ready};

use super::program::{groupwal, open, options, owners_are_known, ran, run};
use super::support;

#[test]
fn a_dump_has_every_entry_in_a_line() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    let insert = Insert {
        doc_ids: &[1, 0xfeed << 112],
        user_ids: &[7],
        vectors: &[1.0, f32::NEG_INFINITY],
    };
    ready(wal.append(&insert)).unwrap();
    let delete = Delete {
        doc_ids: &[1],
        user_ids: &[],
    };
    ready(wal.append(&delete)).unwrap();
    ready(wal.append(b"\x00\xffany")).unwrap();
    ready(wal.append(b"")).unwrap();
    ready(wal.close()).unwrap();
    let (one, feed, seven) = (
        format!("{:032x}", 1),
        format!("{:032x}", 0xfeed_u128 << 112),
        format!("{:032x}", 7),
    );
    let dump = run(&[&"dump", &log]).ends(0);
    assert_eq!(
        dump.stdout,
        format!(
            "0 insert docs={one},{feed} users={seven} vectors=3f800000,ff800000\n\
             1 delete docs={one} users=\n2 bytes 00ff616e79\n3 bytes \n"
        )
    );
    assert_eq!(dump.stderr, "");
    assert_eq!(
        run(&[&"dump", &log, &"--from", &"3"]).ends(0).stdout,
        "3 bytes \n"
    );
    let lines = run(&[&"dump", &log, &"--json"]).ends(0).json_lines();
    assert_eq!(
        lines,
        [
            serde_json::json!({"seq": 0, "kind": "insert", "doc_ids": [one, feed], "user_ids": [seven],
                "vectors": ["3f800000", "ff800000"]}),
            serde_json::json!({"seq": 1, "kind": "delete", "doc_ids": [one], "user_ids": []}),
            serde_json::json!({"seq": 2, "kind": "bytes", "bytes": "00ff616e79"}),
            serde_json::json!({"seq": 3, "kind": "bytes", "bytes": ""}),
        ]
    );
}

#[test]
fn a_healthy_log_is_described() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..20);
    ready(wal.append_batch(&["a", "b", "c"])).unwrap();
    ready(wal.trim(12)).unwrap();
    append_all(&wal, 23..24);
    drop(wal);
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    assert_eq!(said["tail"], "clean");
    assert_eq!(said["trim_seq"], 12);
    assert_eq!(said["next_seq"], 24);
    assert_eq!(
        said["durable_seq"], 23,
        "nothing vouches for the last group"
    );
    assert_eq!(said["damage"], serde_json::json!([]));
    let groups = said["group_entries"].as_array().unwrap();
    let three = groups
        .iter()
        .find(|bucket| bucket["entries_min"] == 2)
        .unwrap();
    assert_eq!(
        (three["entries_max"].as_u64(), three["groups"].as_u64()),
        (Some(3), Some(1))
    );
    ready(open(&log).close()).unwrap();
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    assert_eq!(
        (&said["tail"], &said["durable_seq"]),
        (&"sealed".into(), &24.into())
    );
    let text = run(&[&"verify", &log]).ends(0).stdout;
    for word in [
        "tail           sealed",
        "trim position  12",
        "next entry     24",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_torn_tail_is_no_damage() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..3);
    drop(wal);
    let segment = log.join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[512 * 3 + 70] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    let tail = if owners_are_known(&log) {
        "torn"
    } else {
        "torn or in flight"
    };
    assert_eq!(said["tail"], tail);
    assert_eq!(
        (&said["torn"]["offset"], &said["torn"]["entries"]),
        (&1536.into(), &1.into())
    );
    assert_eq!(run(&[&"dump", &log]).ends(0).stdout.lines().count(), 2);
}

/// Neither writes, neither locks: the log stays open and goes on, and nothing in it is touched.
#[test]
fn a_log_in_use_is_looked_at_and_left_alone() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..5);
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    if cfg!(target_os = "linux") {
        assert_eq!(said["in_use"], true);
    }
    let dump = run(&[&"dump", &log]).ends(0);
    assert_eq!(dump.stdout.lines().count(), 5);
    if cfg!(target_os = "linux") {
        assert!(dump.stderr.contains("in use"), "{}", dump.stderr);
    }
    append_all(&wal, 5..30);
    drop(wal);
    let before: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    assert_eq!(
        said["in_use"],
        serde_json::json!(owners_are_known(&log).then_some(false))
    );
    let after: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(before, after);
}

/// As somebody who may read and no more; only root can become somebody else here.
#[test]
fn reading_needs_no_permission_to_write() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    append_all(&open(&log), 0..5);
    let readable = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    readable(tmp.path(), 0o755);
    for file in std::fs::read_dir(&log).unwrap() {
        readable(&file.unwrap().path(), 0o444);
    }
    readable(&log, 0o555);
    for command in ["dump", "verify"] {
        let mut groupwal = groupwal(&[&command, &log]);
        let is_root = std::fs::metadata("/proc/self")
            .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        // The program itself may lie where nobody else may go.
        let reachable = env!("CARGO_BIN_EXE_groupwal").starts_with("/root");
        if is_root && !reachable {
            groupwal.uid(65_534).gid(65_534);
        }
        match groupwal.output() {
            Ok(output) => drop(ran(&output).ends(0)),
            Err(error) => eprintln!("skipped: cannot run the program as nobody: {error}"),
        }
    }
    readable(&log, 0o755);
}

/// `dump | head`
#[test]
fn nobody_reading_on_is_no_failure() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let mut builder = groupwal::Builder::create(&log, 0, &options()).unwrap();
    for seq in 0..2_000_u64 {
        builder.push(&[seq.to_le_bytes(); 100].concat()).unwrap();
    }
    builder.finish().unwrap();
    for json in [false, true] {
        let mut dump = groupwal(&[&"dump", &log]);
        if json {
            dump.arg("--json");
        }
        let mut dump = dump
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(dump.stdout.take());
        let ended = ran(&dump.wait_with_output().unwrap()).ends(0);
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn what_is_no_log_is_refused_with_its_name() {
    let tmp = tempfile::tempdir().unwrap();
    for command in ["dump", "verify"] {
        let missing = tmp.path().join("missing");
        let said = run(&[&command, &missing]).ends(2).stderr;
        assert!(said.contains("missing"), "{said}");
        let said = run(&[&command, &tmp.path()]).ends(2).stderr;
        assert!(said.contains("there is no log in it"), "{said}");
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
    }
    run(&[&"dump"]).ends(2);
    run(&[&"frobnicate"]).ends(2);
}

#[test]
fn help_and_the_manual_teach() {
    for command in ["dump", "verify", "salvage", "import-muopdb"] {
        let help = run(&[&command, &"--help"]).ends(0).stdout;
        assert!(
            help.contains("Examples:") && help.contains("Exit status:"),
            "{help}"
        );
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
    let manual = run(&[&"man"]).ends(0).stdout;
    assert!(manual.contains(".TH groupwal 1"), "{manual}");
}
