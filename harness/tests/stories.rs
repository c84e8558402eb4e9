//! What the page of a failure tells: what was promised, what is missing, what happened between, at which
//! call.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use plugpull::disk::FileSystemKind;
use plugpull::sim::Profile;
use plugpull::{
    CrashKind, Failure, RecorderKind, RecoverRun, Subject, SubjectError, Survivors, Torture,
    WriteRun,
};
use twox_hash::XxHash3_64;

const RECORD_BYTES: usize = 8192;
/// Entries that are acknowledged before any of them is written.
const BUFFERED: usize = 4;
/// A traced run may end by itself.
const ACTIONS_TRACED: usize = 14;

/// Entries of a generation that are kept.
const KEPT: usize = 3;

/// A log whose first generation keeps what it acknowledges. A later one keeps a few entries, and then
/// acknowledges others that it has in memory only.
struct ForgetfulLog;

impl Subject for ForgetfulLog {
    fn name(&self) -> &'static str {
        "forgetful-log"
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(run.dir.join("log"))?;
        let end = whole_records(run.dir)?.len() as u64;
        file.set_len(end * RECORD_BYTES as u64)?;
        let actions = if run.workload.small_files {
            ACTIONS_TRACED
        } else {
            usize::MAX
        };
        let mut buffer = Vec::new();
        let actions = run.workload.actions(0).take(actions);
        for (count, (action, position)) in actions.zip(end..).enumerate() {
            run.recorder.attempt(action.id);
            buffer.extend(record_of(run.workload.payload(action.id)));
            let buffers = run.workload.generation > 0 && count >= KEPT;
            if !buffers || buffer.len() == BUFFERED * RECORD_BYTES {
                file.write_all(&buffer)?;
                file.sync_data()?;
                buffer.clear();
            }
            run.recorder.ack(action.id, position);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        for (position, payload) in (0..).zip(whole_records(run.dir)?) {
            survivors.push(position, &payload);
        }
        Ok(())
    }
}

/// A payload, filled up, then its length and a checksum.
fn record_of(payload: Vec<u8>) -> Vec<u8> {
    let mut record = payload;
    let bytes = record.len() as u64;
    record.resize(RECORD_BYTES - 16, 0);
    record.extend(bytes.to_le_bytes());
    let sum = XxHash3_64::oneshot(&record);
    record.extend(sum.to_le_bytes());
    record
}

/// The payloads before the first record that is not whole.
fn whole_records(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match fs::read(dir.join("log")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let whole = bytes
        .as_chunks::<RECORD_BYTES>()
        .0
        .iter()
        .map_while(|record| {
            let (rest, sum) = record.split_last_chunk()?;
            let (payload, bytes) = rest.split_last_chunk()?;
            let is_whole = XxHash3_64::oneshot(rest) == u64::from_le_bytes(*sum);
            let bytes = usize::try_from(u64::from_le_bytes(*bytes)).ok()?;
            payload
                .get(..bytes)
                .filter(|_| is_whole)
                .map(<[u8]>::to_vec)
        });
    Ok(whole.collect())
}

/// A failure: its violation, and its page. `None` where this machine cannot do this.
fn told(kind: CrashKind, rounds: u64) -> Option<(String, String)> {
    told_by(kind, rounds, |torture| torture)
}

fn told_by(
    kind: CrashKind,
    rounds: u64,
    set: impl FnOnce(Torture) -> Torture,
) -> Option<(String, String)> {
    let dir = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(ForgetfulLog)
        .crash([kind])
        .file_systems([FileSystemKind::Ext4])
        .rounds(rounds)
        .seed(1)
        .artifacts(dir.path().join("artifacts"));
    let rows = match set(torture).run().expect_err("it is guilty") {
        Failure::Violation(rows) => rows,
        Failure::Environment(_) => return None,
        other @ Failure::Vacuous(_) => panic!("no verdict: {other}"),
    };
    let failure = &rows[0].failures[0];
    let story = fs::read_to_string(failure.folder.join("README.md")).expect("text");
    Some((failure.violation.clone(), story))
}

/// Long lines are broken between words.
fn in_one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The parts stand there in this order.
fn assert_in_order(story: &str, parts: &[&str]) {
    let flat = in_one_line(story);
    let mut rest = flat.as_str();
    for part in parts {
        let part = in_one_line(part);
        let at = rest.find(&part);
        let at = at.unwrap_or_else(|| panic!("no '{part}' where it belongs in: {story}"));
        rest = &rest[at + part.len()..];
    }
}

/// The id and the position of an entry that was lost.
fn lost(violation: &str) -> (&str, &str) {
    let lost = violation.strip_prefix("lost: entry ");
    let lost = lost.and_then(|rest| rest.split_once(" was acknowledged at position "));
    let (id, rest) = lost.unwrap_or_else(|| panic!("another violation: {violation}"));
    (id, rest.strip_suffix(" and is gone").expect("it is gone"))
}

/// Stories are read in terminals and in mail. A heading is one line.
fn assert_narrow(story: &str) {
    let is_wide = |line: &&str| line.chars().count() > 80 && !line.starts_with('#');
    let wide: Vec<&str> = story.lines().filter(is_wide).collect();
    assert_eq!(wide, [""; 0]);
}

#[test]
fn a_story_of_syscall_names_the_lives_the_calls_and_what_is_missing() {
    let Some((violation, story)) = told(CrashKind::Syscall, 6) else {
        return;
    };
    let (id, position) = lost(&violation);
    assert!(id.starts_with("0x10000000"), "of generation 1: {violation}");
    let parts = [
        "1. A process opens the store and writes.",
        "attempted: entry 0x",
        "   It is killed ",
        "   By then it had attempted ",
        "   Recovery then shows ",
        "2. A process opens the store and writes.",
        "openat(log, create)",
        "ftruncate(log, to ",
        &format!("attempted: entry {id}\n"),
        &format!("acknowledged: entry {id} at position {position}\n"),
        "   It is killed ",
        "   Not made any more:\n",
        "write(log, 32768 bytes at ",
        "   By then it had attempted ",
        &format!("Then recovery finds: {violation}"),
        &format!("   Near position {position}:"),
        &format!("   - position {position}: nothing"),
        "   Promised, and not among what it shows:",
        &format!("   - entry {id}, acknowledged at position {position}"),
        "The crash leaves, in `image/`:",
        "    log: ",
    ];
    assert_in_order(&story, &parts);
    assert_narrow(&story);
}

#[test]
fn a_story_of_kill_names_the_lives_the_last_announcements_and_the_files() {
    let (violation, story) = told(CrashKind::Kill, 200).expect("a process can be killed");
    let (id, position) = lost(&violation);
    let parts = [
        "1. A process opens the store and writes.",
        "   SIGKILL. What it wrote is there.",
        "   Recovery then shows ",
        "A process opens the store and writes. Its last announcements, in their order:",
        &format!("attempted: entry {id}\n"),
        &format!("acknowledged: entry {id} at position {position}\n"),
        "   SIGKILL after ",
        "   By then it had attempted ",
        &format!("Then recovery finds: {violation}"),
        &format!("   Near position {position}:"),
        &format!("   - position {position}: nothing"),
        &format!("   - entry {id}, acknowledged at position {position}"),
        "The crash leaves, in `image/`:",
        "    log: ",
        "`--crash syscall`",
    ];
    assert_in_order(&story, &parts);
    assert_narrow(&story);
}

#[test]
fn a_story_of_disk_names_the_lives_the_files_of_written_blocks_and_what_is_missing() {
    let Some((violation, story)) = told(CrashKind::Disk, 12) else {
        return;
    };
    let (id, position) = lost(&violation);
    let parts = [
        "1. A process opens the store and writes.",
        "   The power is lost after request ",
        "   Recovery then shows ",
        "What the device was asked",
        "  write ",
        "           log, bytes ",
        &format!("acknowledged: entry {id} at position {position}\n"),
        "The power is lost after request ",
        "   By then it had attempted ",
        &format!("Then recovery finds: {violation}"),
        &format!("   Near position {position}:"),
        &format!("   - entry {id}, acknowledged at position {position}"),
        "The crash leaves, in `image/`:",
        "    log: ",
    ];
    assert_in_order(&story, &parts);
    // What was acknowledged is counted at the cut, wherever it is told.
    let (head, page) = story.split_once("What the device was asked").expect("told");
    let (_, counted) = head.split_once(" attempts, ").expect("counted");
    let (acked, _) = counted.split_once(" acknowledged\n").expect("counted");
    let told = page.matches("           acknowledged: entry").count();
    assert_eq!(told.to_string(), acked, "{story}");
    assert!(
        page.contains(&format!(" and acknowledged {acked}.\n")),
        "{story}"
    );
    assert_narrow(&story);
}

/// Under trace and on a mount.
fn power_names_the_calls_and_what_is_missing(recorder: RecorderKind) {
    // It forgets what it has acknowledged, whatever a power cut takes.
    let set = |torture: Torture| torture.recorder(recorder).profiles([Profile::Everything]);
    let told = told_by(CrashKind::Power, 4, set);
    let Some((violation, story)) = told else {
        return;
    };
    let (id, position) = lost(&violation);
    let parts = [
        "1. A process opens the store and writes.",
        "  create log\n",
        "  fdatasync log\n",
        "acknowledged: entry 0x0 at position 0\n",
        "A process opens the store and writes.",
        &format!("acknowledged: entry {id} at position {position}\n"),
        "   The power is lost, by the rules of ",
        "   By then it had attempted ",
        "   It had begun with ",
        &format!("Then recovery finds: {violation}"),
        &format!("   Near position {position}:"),
        &format!("   - entry {id}, acknowledged at position {position}"),
        "The crash leaves, in `image/`:",
        "    log: ",
        "Control: ",
    ];
    assert_in_order(&story, &parts);
    assert_narrow(&story);
}

#[test]
fn a_story_of_power_under_trace_names_the_calls_and_what_is_missing() {
    power_names_the_calls_and_what_is_missing(RecorderKind::Trace);
}

#[test]
fn a_story_of_power_on_a_mount_names_the_calls_and_what_is_missing() {
    power_names_the_calls_and_what_is_missing(RecorderKind::Mount);
}
