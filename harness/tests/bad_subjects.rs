//! Subjects that misbehave: each gets a clear verdict, in time, and leaves no process behind.

use std::fs;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plugpull::{
    CrashKind, Failure, RecoverRun, Report, Subject, SubjectError, Survivors, Torture, WriteRun,
};

/// Far above what a child needs here, far below what a test may take.
const HANG_LIMIT: Duration = Duration::from_millis(2500);
/// A verdict takes no longer, on a busy machine either.
const VERDICT_MAX: Duration = Duration::from_secs(20);
/// Marks the processes that a subject starts. Longer than any of these tests lives.
const SLEEP_SECONDS: &str = "3600";

/// What a subject does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    PanicsInWrite,
    PanicsInRecover,
    HangsInWrite,
    HangsInRecover,
    ExitsInWrite,
    AbortsInWrite,
    AbortsInRecover,
    /// By another process, as the kernel does it where memory is short.
    KilledInWrite,
    KilledInRecover,
    FillsTheDisk,
    ForksInWrite,
    ForksInRecover,
    /// Starts a process in a session of its own, where no group reaches it.
    DaemonInWrite,
    PrintsWithoutEnd,
}

/// A correct log of fixed-size records, but for its fault. It is named after the test.
struct Bad {
    name: String,
    fault: Fault,
}

const RECORD_BYTES: usize = 8192;

impl Subject for Bad {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        match self.fault {
            Fault::HangsInWrite => hang(),
            Fault::ForksInWrite => start_sleeper(&self.name, Command::new("sleep"))?,
            Fault::DaemonInWrite => {
                let mut command = Command::new("setsid");
                command.arg("sleep");
                start_sleeper(&self.name, command)?;
            }
            _ => {}
        }
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(run.dir.join("log"))?;
        let position = file.metadata()?.len().div_ceil(RECORD_BYTES as u64);
        // A torn last record is overwritten with zeros up to its end.
        file.set_len(position * RECORD_BYTES as u64)?;
        // A traced run may end by itself; a short one has few states to recover.
        let actions = if run.workload.small_files {
            12
        } else {
            usize::MAX
        };
        let actions = run.workload.actions(0).take(actions);
        for (count, (action, position)) in actions.zip(position..).enumerate() {
            match self.fault {
                Fault::PanicsInWrite if count == 3 => panic!("no more paper"),
                Fault::ExitsInWrite if count == 3 => std::process::exit(7),
                Fault::AbortsInWrite if count == 3 => std::process::abort(),
                Fault::KilledInWrite if count == 3 => be_killed()?,
                // As the kernel says it: a disk of our own would take a mount.
                Fault::FillsTheDisk if count == 3 => {
                    return Err(io::Error::from(io::ErrorKind::StorageFull).into());
                }
                Fault::PrintsWithoutEnd => println!("{}", "garbage".repeat(1000)),
                _ => {}
            }
            run.recorder.attempt(action.id);
            let payload = run.workload.payload(action.id);
            let mut record = u32::try_from(payload.len())?.to_le_bytes().to_vec();
            record.extend(payload);
            record.resize(RECORD_BYTES - 1, 0);
            // What makes a record whole comes last.
            record.push(1);
            file.write_all(&record)?;
            run.recorder.ack(action.id, position);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        match self.fault {
            Fault::PanicsInRecover => panic!("what is this?"),
            Fault::HangsInRecover => hang(),
            Fault::AbortsInRecover => std::process::abort(),
            Fault::KilledInRecover => be_killed()?,
            Fault::ForksInRecover => start_sleeper(&self.name, Command::new("sleep"))?,
            _ => {}
        }
        let bytes = match fs::read(run.dir.join("log")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let records = bytes.as_chunks::<RECORD_BYTES>().0.iter();
        let whole = records.filter(|record| record.ends_with(&[1]));
        for (position, record) in whole.enumerate() {
            let (len, payload) = record.split_first_chunk().ok_or("no length")?;
            let len = usize::try_from(u32::from_le_bytes(*len))?;
            survivors.push(position as u64, payload.get(..len).ok_or("a bad length")?);
        }
        Ok(())
    }
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Another process kills this one.
fn be_killed() -> io::Result<()> {
    let mut command = Command::new("kill");
    command.args(["-9", &std::process::id().to_string()]);
    command.status().map(drop)
}

/// Starts a process that outlives us, if it is let. The mark is in its environment.
fn start_sleeper(mark: &str, mut command: Command) -> io::Result<()> {
    let command = command.arg(SLEEP_SECONDS).env(MARK, mark);
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().map(drop)
}

const MARK: &str = "PLUGPULL_TEST_MARK";

/// The processes, other than this one, whose environment says this.
fn processes_with(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("it is mounted") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process that is gone, or a zombie, has none.
        let environment = fs::read(Path::new("/proc").join(&name).join("environ"));
        if String::from_utf8_lossy(&environment.unwrap_or_default()).contains(text) {
            found.push(name);
        }
    }
    found
}

/// Puts a subject with this fault under torture. Whatever comes of it, it comes in time, and
/// nothing is left running.
fn torture(name: &str, fault: Fault, kind: CrashKind, rounds: u64) -> Result<Report, Failure> {
    let tmp = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    let subject = Bad {
        name: name.to_owned(),
        fault,
    };
    let verdict = Torture::new(subject)
        .crash([kind])
        .rounds(rounds)
        .seed(1)
        .hang_limit(HANG_LIMIT)
        .scratch(tmp.path().join("scratch"))
        .artifacts(tmp.path().join("artifacts"))
        .run();
    let elapsed = started.elapsed();
    assert!(elapsed < VERDICT_MAX, "{name}: {elapsed:?}");
    // The writers and recoverers carry the directory in their order, what they start has our mark
    // too.
    for text in [
        tmp.path().to_string_lossy().into_owned(),
        format!("{MARK}={name}\0"),
    ] {
        // A daemon may have been killed a moment ago, and not be gone yet.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !processes_with(&text).is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(processes_with(&text), [""; 0], "left running by {name}");
    }
    verdict
}

/// The words of the first failure.
fn complaint(verdict: Result<Report, Failure>) -> String {
    match verdict {
        Err(Failure::Violation(rows)) => rows[0].failures[0].violation.clone(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it passed"),
    }
}

fn assert_says(complaint: &str, parts: &[&str]) {
    for part in parts {
        assert!(complaint.contains(part), "no '{part}' in: {complaint}");
    }
}

#[test]
fn a_subject_without_fault_passes() {
    let report = torture("bad/none", Fault::None, CrashKind::Kill, 6).unwrap();
    assert!(report.rows[0].tally.acked > 0);
    assert_eq!(report.rows[0].strays, 0);
}

#[test]
fn a_panic_in_write_is_told_with_its_message() {
    let complaint = complaint(torture(
        "bad/panic-w",
        Fault::PanicsInWrite,
        CrashKind::Kill,
        50,
    ));
    let parts = ["the writer stopped by itself", "101", "no more paper"];
    assert_says(&complaint, &parts);
}

#[test]
fn a_panic_in_write_under_trace_is_told_with_its_message() {
    let fault = Fault::PanicsInWrite;
    let complaint = complaint(torture("bad/panic-w-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["the writer failed", "101", "no more paper"]);
}

#[test]
fn a_panic_in_recover_is_told_with_its_message() {
    let fault = Fault::PanicsInRecover;
    let complaint = complaint(torture("bad/panic-r", fault, CrashKind::Kill, 1));
    assert_says(&complaint, &["recovery failed", "101", "what is this?"]);
}

#[test]
fn a_panic_in_recover_of_a_traced_state_is_told_with_its_message() {
    let fault = Fault::PanicsInRecover;
    let complaint = complaint(torture("bad/panic-r-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["recovery failed", "101", "what is this?"]);
}

#[test]
fn a_writer_that_hangs_is_killed_like_any_other_and_has_shown_nothing() {
    let verdict = torture("bad/hang-w", Fault::HangsInWrite, CrashKind::Kill, 6);
    let Err(failure @ Failure::Vacuous(_)) = verdict else {
        panic!("{verdict:?}")
    };
    assert_says(&failure.to_string(), &["showed nothing", "0 attempts"]);
}

#[test]
fn a_writer_that_hangs_under_trace_is_told() {
    let fault = Fault::HangsInWrite;
    let complaint = complaint(torture("bad/hang-w-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["the writer failed: it hangs", "2.5s"]);
}

#[test]
fn a_recovery_that_hangs_is_told() {
    let fault = Fault::HangsInRecover;
    let complaint = complaint(torture("bad/hang-r", fault, CrashKind::Kill, 1));
    assert_says(&complaint, &["recovery failed: it hangs", "2.5s"]);
}

#[test]
fn a_recovery_of_a_traced_state_that_hangs_is_told() {
    let fault = Fault::HangsInRecover;
    let complaint = complaint(torture("bad/hang-r-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["recovery failed: it hangs", "2.5s"]);
}

#[test]
fn a_writer_that_exits_by_itself_is_told_with_its_status() {
    let complaint = complaint(torture(
        "bad/exit-w",
        Fault::ExitsInWrite,
        CrashKind::Kill,
        50,
    ));
    assert_says(
        &complaint,
        &["the writer stopped by itself", "exit status: 7"],
    );
}

#[test]
fn a_writer_that_dies_of_a_signal_is_told_with_the_signal() {
    let complaint = complaint(torture(
        "bad/abort-w",
        Fault::AbortsInWrite,
        CrashKind::Kill,
        50,
    ));
    assert_says(&complaint, &["the writer stopped by itself", "signal: 6"]);
}

#[test]
fn a_writer_under_trace_that_dies_of_a_signal_is_told_with_the_signal() {
    let fault = Fault::AbortsInWrite;
    let complaint = complaint(torture("bad/abort-w-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["the writer failed", "signal: 6"]);
}

#[test]
fn a_recovery_that_dies_of_a_signal_is_told_with_the_signal() {
    let fault = Fault::AbortsInRecover;
    let complaint = complaint(torture("bad/abort-r", fault, CrashKind::Kill, 1));
    assert_says(&complaint, &["recovery failed", "signal: 6"]);
}

#[test]
fn a_recovery_of_a_traced_state_that_dies_of_a_signal_is_told_with_the_signal() {
    let fault = Fault::AbortsInRecover;
    let complaint = complaint(torture("bad/abort-r-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["recovery failed", "signal: 6"]);
}

/// The row says what happened, and accuses no store.
fn is_killed_from_outside(name: &str, fault: Fault, kind: CrashKind) {
    let verdict = torture(name, fault, kind, 50);
    let Err(failure @ Failure::Environment(_)) = verdict else {
        panic!("{verdict:?}")
    };
    let parts = ["SIGKILL", "plugpull did not send", "dmesg"];
    assert_says(&failure.to_string(), &parts);
}

#[test]
fn a_writer_that_something_else_kills_is_no_violation() {
    is_killed_from_outside("bad/killed-w", Fault::KilledInWrite, CrashKind::Kill);
}

#[test]
fn a_writer_under_trace_that_something_else_kills_is_no_violation() {
    is_killed_from_outside("bad/killed-w-s", Fault::KilledInWrite, CrashKind::Syscall);
}

#[test]
fn a_recovery_that_something_else_kills_is_no_violation() {
    is_killed_from_outside("bad/killed-r", Fault::KilledInRecover, CrashKind::Kill);
}

#[test]
fn a_recovery_of_a_traced_state_that_something_else_kills_is_no_violation() {
    is_killed_from_outside("bad/killed-r-s", Fault::KilledInRecover, CrashKind::Syscall);
}

#[test]
fn a_full_disk_is_told_in_the_store_s_words() {
    let complaint = complaint(torture(
        "bad/full",
        Fault::FillsTheDisk,
        CrashKind::Kill,
        50,
    ));
    let full = io::Error::from(io::ErrorKind::StorageFull).to_string();
    assert_says(&complaint, &["the writer stopped by itself", &full]);
}

#[test]
fn what_a_writer_has_started_dies_with_it() {
    // That nothing is left is checked in there. So short a torture may show nothing else.
    let verdict = torture("bad/fork-w", Fault::ForksInWrite, CrashKind::Kill, 12);
    assert!(
        matches!(verdict, Ok(_) | Err(Failure::Vacuous(_))),
        "{verdict:?}"
    );
}

#[test]
fn what_a_writer_under_trace_has_started_dies_with_it() {
    let verdict = torture("bad/fork-w-s", Fault::ForksInWrite, CrashKind::Syscall, 1);
    assert!(
        matches!(verdict, Ok(_) | Err(Failure::Vacuous(_))),
        "{verdict:?}"
    );
}

#[test]
fn a_recovery_that_leaves_a_process_behind_is_told() {
    let fault = Fault::ForksInRecover;
    let complaint = complaint(torture("bad/fork-r", fault, CrashKind::Kill, 1));
    assert_says(&complaint, &["recovery failed", "processes behind"]);
}

#[test]
fn a_traced_recovery_that_leaves_a_process_behind_is_told() {
    let fault = Fault::ForksInRecover;
    let complaint = complaint(torture("bad/fork-r-s", fault, CrashKind::Syscall, 1));
    assert_says(&complaint, &["recovery failed", "processes behind"]);
}

#[test]
fn a_daemon_that_left_its_group_is_found_in_the_end() {
    let verdict = torture("bad/daemon", Fault::DaemonInWrite, CrashKind::Kill, 12);
    let rows = match verdict {
        Ok(Report { rows }) | Err(Failure::Vacuous(rows)) => rows,
        Err(other) => panic!("{other}"),
    };
    assert!(rows[0].strays > 0, "{rows:?}");
}

#[test]
fn a_subject_may_print_what_it_likes() {
    torture("bad/prints", Fault::PrintsWithoutEnd, CrashKind::Kill, 12).unwrap();
}
