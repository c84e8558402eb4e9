//! What the page of a failure tells: what was promised, what is missing, what happened between, at which
//! call.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};

use plugpull::{
    CrashKind, Failure, RecoverRun, Subject, SubjectError, Survivors, Torture, WriteRun,
};

const RECORD_BYTES: usize = 4096;
/// Entries that are acknowledged before any of them is written.
const BUFFERED: usize = 4;
/// A traced run may end by itself.
const ACTIONS_TRACED: usize = 14;

/// A log whose first generation keeps what it acknowledges. A later one acknowledges entries that it has in
/// memory only.
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
        let end = file.metadata()?.len() / RECORD_BYTES as u64;
        file.set_len(end * RECORD_BYTES as u64)?;
        let actions = if run.workload.small_files {
            ACTIONS_TRACED
        } else {
            usize::MAX
        };
        let buffers = run.workload.generation > 0;
        let mut buffer = Vec::new();
        for (action, position) in run.workload.actions(0).take(actions).zip(end..) {
            run.recorder.attempt(action.id);
            let mut record = run.workload.payload(action.id);
            record.truncate(RECORD_BYTES - 8);
            let bytes = record.len() as u64;
            record.resize(RECORD_BYTES - 8, 0);
            record.extend(bytes.to_le_bytes());
            buffer.extend(record);
            if !buffers || buffer.len() == BUFFERED * RECORD_BYTES {
                file.write_all(&buffer)?;
                buffer.clear();
            }
            run.recorder.ack(action.id, position);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let bytes = match fs::read(run.dir.join("log")) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        for (position, record) in (0..).zip(bytes.as_chunks::<RECORD_BYTES>().0) {
            let (payload, bytes) = record.split_last_chunk().ok_or("no length")?;
            let bytes = usize::try_from(u64::from_le_bytes(*bytes))?;
            survivors.push(position, payload.get(..bytes).ok_or("a bad length")?);
        }
        Ok(())
    }
}

/// A failure: its violation, and its page. `None` where this machine cannot do this.
fn told(kind: CrashKind, rounds: u64) -> Option<(String, String)> {
    let dir = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(ForgetfulLog)
        .crash([kind])
        .rounds(rounds)
        .seed(1)
        .artifacts(dir.path().join("artifacts"));
    let rows = match torture.run().expect_err("it is guilty") {
        Failure::Violation(rows) => rows,
        Failure::Environment(_) => return None,
        other @ Failure::Vacuous(_) => panic!("no verdict: {other}"),
    };
    let failure = &rows[0].failures[0];
    let story = fs::read_to_string(failure.folder.join("README.md")).expect("text");
    Some((failure.violation.clone(), story))
}

/// The parts stand there in this order.
fn assert_in_order(story: &str, parts: &[&str]) {
    let mut rest = story;
    for part in parts {
        let at = rest.find(part);
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

/// Stories are read in terminals and in mail.
fn assert_narrow(story: &str, violation: &str) {
    let is_wide = |line: &&str| line.len() > 110 && !line.contains(violation);
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
        "write(log, 16384 bytes at ",
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
    assert_narrow(&story, &violation);
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
    assert_narrow(&story, &violation);
}
