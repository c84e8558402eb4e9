//! From another PID namespace, such as a container's, the lock of a log's owner is not seen: what is not
//! known is said not to be known, and a log that changes while it is read is in use.
//!
//! A salvage opens a log's files in the order of their numbers, then reads them, and does both twice. Two
//! files do not answer ([`Stall`]): when the program has passed the first one it has read the names of
//! all files. They come before the log's files or behind them: until the program has passed the
//! second one, none of the log's files is open, or all of them are and nothing is read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use groupwal::{EngineKind, Wal};

use super::program::{groupwal, open, options, owners_are_known, ran, run};
use super::stall::Stall;
use crate::support::tiny::{append_all, ready};

/// The program in a PID namespace of its own, with its own `/proc`; `None` where that cannot be had.
fn elsewhere(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Option<Command> {
    // Without privileges it takes a user namespace, too.
    for flags in ["-pf", "-Urpf"] {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args([flags, "--mount-proc"]);
            command
        };
        let tried = unshare().arg("true").output();
        if tried.is_ok_and(|output| output.status.success()) {
            let mut command = unshare();
            command.arg(env!("CARGO_BIN_EXE_groupwal"));
            command.args(arguments).stdin(Stdio::null());
            return Some(command);
        }
    }
    eprintln!("skipped: no PID namespace can be had here (unshare -pf --mount-proc)");
    None
}

/// Breaks the newest frame, as if it were still being written.
fn tear(log: &Path) {
    let segment = log.join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[512 * 3 + 70] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
}

#[test]
fn an_owner_that_is_not_seen_is_not_said_to_be_absent() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..3);
    tear(&log);
    for is_open in [true, false] {
        if !is_open {
            // As if it had been killed.
            let bytes = std::fs::read(log.join("LOCK")).unwrap();
            std::fs::remove_file(log.join("LOCK")).unwrap();
            std::fs::write(log.join("LOCK"), bytes).unwrap();
        }
        let Some(mut verify) = elsewhere(&[&"verify", &log, &"--json"]) else {
            return;
        };
        let said = ran(&verify.output().unwrap()).ends(0).json();
        assert_eq!(said["in_use"], serde_json::Value::Null);
        assert_eq!(said["tail"], "torn or in flight");
        assert_eq!(said["torn"]["offset"], 1536);
        let mut verify = elsewhere(&[&"verify", &log]).unwrap();
        let text = ran(&verify.output().unwrap()).ends(0).stdout;
        for line in [
            "in use         not known",
            "tail           torn or in flight",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let mut dump = elsewhere(&[&"dump", &log]).unwrap();
        let said = ran(&dump.output().unwrap()).ends(0).stderr;
        assert!(said.is_empty() || said.contains("not known"), "{said}");
        // Here it is seen, and that it is gone is certain.
        let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
        if owners_are_known(&log) {
            let expected = if is_open {
                (true.into(), "in flight".into())
            } else {
                (false.into(), "torn".into())
            };
            assert_eq!((&said["in_use"], &said["tail"]), (&expected.0, &expected.1));
        }
    }
}

/// The owner of a log that has lost its LOCK still has the lock of the segment that it writes.
#[test]
fn an_owner_without_its_lock_file_is_seen() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..3);
    std::fs::remove_file(log.join("LOCK")).unwrap();
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    assert_eq!(said["in_use"], true);
    drop(wal);
    let said = run(&[&"verify", &log, &"--json"]).ends(0).json();
    assert_eq!(
        said["in_use"],
        serde_json::json!(owners_are_known(&log).then_some(false))
    );
}

/// The files that do not answer come before the log's.
const BEFORE: [u64; 2] = [0, 1];
/// Or behind them.
const BEHIND: [u64; 2] = [900, 901];

/// A log in use whose first segments were trimmed, and with it two files that do not answer.
struct Subject {
    tmp: tempfile::TempDir,
    wal: Wal,
    next: u64,
    stalls: [Stall; 2],
}

impl Subject {
    fn new(spares: usize, stalls: [u64; 2]) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let log = tmp.path().join("log");
        let options = options()
            .engine(EngineKind::Inline)
            .spare_segments_max(spares);
        let wal = ready(Wal::open(&log, options)).unwrap();
        append_all(&wal, 0..80);
        ready(wal.trim(40)).unwrap();
        let stalls = stalls.map(|id| Stall::new(&log.join(format!("{id:020}.seg"))));
        Self {
            tmp,
            wal,
            next: 80,
            stalls,
        }
    }

    fn new_log(&self) -> PathBuf {
        self.tmp.path().join("new")
    }

    fn append(&mut self, entries: u64) {
        append_all(&self.wal, self.next..self.next + entries);
        self.next += entries;
    }

    fn salvage(&self) -> Option<Child> {
        let log = self.tmp.path().join("log");
        let mut command = elsewhere(&[&"salvage", &log, &self.new_log()])?;
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Some(command.spawn().unwrap())
    }

    /// Lets one of the two readings go on, and changes the log between the files that do not answer.
    fn read(&mut self, child: &mut Child, change: impl FnOnce(&mut Self)) {
        assert!(self.stalls[0].pass(child));
        change(self);
        assert!(self.stalls[1].pass(child));
    }

    #[track_caller]
    fn is_in_use(&self, child: Child) {
        let said = ran(&child.wait_with_output().unwrap()).ends(2).stderr;
        assert!(said.contains("the log is in use"), "{said}");
        assert!(!said.contains("corrupt"), "{said}");
        assert!(!self.new_log().exists());
        assert!(!self.tmp.path().join("new.partial").exists());
    }
}

#[test]
fn a_log_that_is_trimmed_before_it_is_surveyed_is_in_use() {
    let mut subject = Subject::new(0, BEFORE);
    let Some(mut child) = subject.salvage() else {
        return;
    };
    subject.read(&mut child, |subject| {
        ready(subject.wal.trim(subject.next - 1)).unwrap();
    });
    subject.is_in_use(child);
}

#[test]
fn a_log_that_is_appended_to_between_the_readings_is_in_use() {
    let mut subject = Subject::new(0, BEFORE);
    let Some(mut child) = subject.salvage() else {
        return;
    };
    subject.read(&mut child, |_| {});
    subject.read(&mut child, |subject| subject.append(1));
    subject.is_in_use(child);
}

#[test]
fn a_log_that_is_trimmed_between_the_readings_is_in_use() {
    for spares in [0, 64] {
        let mut subject = Subject::new(spares, BEFORE);
        let Some(mut child) = subject.salvage() else {
            return;
        };
        subject.read(&mut child, |_| {});
        subject.read(&mut child, |subject| {
            ready(subject.wal.trim(subject.next - 1)).unwrap();
            subject.append(40);
        });
        subject.is_in_use(child);
    }
}

/// The survey reads the old segments, because it has them open; the copy would find the later ones, and take
/// those before them for lost.
#[test]
fn a_log_that_is_trimmed_before_the_second_reading_is_in_use() {
    let mut subject = Subject::new(64, BEHIND);
    let Some(mut child) = subject.salvage() else {
        return;
    };
    subject.read(&mut child, |subject| {
        ready(subject.wal.trim(subject.next - 1)).unwrap();
    });
    subject.read(&mut child, |_| {});
    subject.is_in_use(child);
}

#[test]
fn a_log_of_which_nothing_is_left_for_the_second_reading_is_in_use() {
    let mut subject = Subject::new(0, BEHIND);
    let Some(mut child) = subject.salvage() else {
        return;
    };
    subject.read(&mut child, |subject| {
        for entry in std::fs::read_dir(subject.tmp.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            let is_segment = path.extension().is_some_and(|of| of == "seg");
            if is_segment && path.metadata().unwrap().len() > 0 {
                std::fs::remove_file(path).unwrap();
            }
        }
    });
    subject.read(&mut child, |_| {});
    subject.is_in_use(child);
}

#[test]
fn a_log_that_does_not_change_is_salvaged_with_a_warning() {
    let mut subject = Subject::new(0, BEFORE);
    let Some(mut child) = subject.salvage() else {
        return;
    };
    subject.read(&mut child, |_| {});
    subject.read(&mut child, |_| {});
    let said = ran(&child.wait_with_output().unwrap()).ends(0).stderr;
    assert!(said.contains("is not known here"), "{said}");
    let found = run(&[&"verify", &subject.new_log(), &"--json"]).ends(0);
    assert_eq!(found.json()["next_seq"], 80);
    // Where the owner is seen nothing is read at all.
    let log = subject.tmp.path().join("log");
    let refused = groupwal(&[&"salvage", &log, &subject.tmp.path().join("other")]);
    let said = ran(&{ refused }.output().unwrap()).ends(2).stderr;
    assert!(said.contains("locked by another"), "{said}");
}
