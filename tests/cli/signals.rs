//! Ctrl-C: the first one takes away what is half made, the second one ends the program at once. The
//! program waits for a file that does not answer while the signals come, so it is known where they
//! find it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::muop;
use super::program::{groupwal, open, ran};
use super::stall::Stall;
use crate::support::tiny::{append_all, ready};

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;

fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether a signal is in one of the process's sets of signals.
fn has(child: &Child, set: &str, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let Some(bits) = status.lines().find_map(|line| line.strip_prefix(set)) else {
        // It has ended.
        return false;
    };
    let bits = u64::from_str_radix(bits.trim(), 16).unwrap();
    bits >> (signal - 1) & 1 == 1
}

/// Presses Ctrl-C, and waits until the program has seen it.
fn interrupt(child: &Child) {
    // Handled last: the handlers of the others are there then.
    while !has(child, "SigCgt:", SIGHUP) {
        std::thread::yield_now();
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    while has(child, "ShdPnd:", SIGINT) {
        std::thread::yield_now();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A log and, behind its segment, two files that do not answer: each of a salvage's two readings waits for
/// them.
fn stalled_log(tmp: &Path) -> [Stall; 2] {
    let log = tmp.join("log");
    let wal = open(&log);
    append_all(&wal, 0..3);
    ready(wal.close()).unwrap();
    [900, 901].map(|id| Stall::new(&log.join(format!("{id:020}.seg"))))
}

/// Files of MuopDB's, of which all but the first do not answer: an import waits for them when it lists them,
/// and when it reads them.
fn stalled_files(tmp: &Path) -> [Stall; 2] {
    let wal = tmp.join("wal");
    muop::write_files(&wal, 0, 0, 1, 3, 4);
    [1, 2].map(|id| Stall::new(&wal.join(format!("wal.{id}"))))
}

fn salvage(tmp: &Path) -> Command {
    groupwal(&[&"salvage", &tmp.join("log"), &tmp.join("new")])
}

fn import(tmp: &Path) -> Command {
    groupwal(&[&"import-muopdb", &tmp.join("wal"), &tmp.join("new")])
}

/// Lets the program go on to its end, which comes with the next look at a file.
#[track_caller]
fn leaves_nothing(tmp: &Path, mut child: Child, stalls: &[Stall; 2]) {
    while child.try_wait().unwrap().is_none() {
        for stall in stalls {
            stall.try_pass();
        }
        std::thread::yield_now();
    }
    let ended = ran(&child.wait_with_output().unwrap()).ends(130);
    assert!(
        ended.stderr.contains("interrupted; nothing was made"),
        "{}",
        ended.stderr
    );
    assert_eq!(names(tmp).len(), 1, "{:?}", names(tmp));
}

/// Interrupts at the first look at the files, and at the second one, when something has been made.
fn interrupt_twice_over(tmp: &Path, stalls: &[Stall; 2], command: fn(&Path) -> Command) {
    let child = start(command(tmp));
    interrupt(&child);
    leaves_nothing(tmp, child, stalls);

    let mut child = start(command(tmp));
    for stall in stalls {
        assert!(stall.pass(&mut child));
    }
    while !tmp.join("new.partial/LOCK").exists() {
        std::thread::yield_now();
    }
    interrupt(&child);
    leaves_nothing(tmp, child, stalls);
}

#[test]
fn an_interrupted_salvage_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let stalls = stalled_log(tmp.path());
    interrupt_twice_over(tmp.path(), &stalls, salvage);
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let stalls = stalled_files(tmp.path());
    interrupt_twice_over(tmp.path(), &stalls, import);
}

#[test]
fn a_second_interrupt_ends_a_program_that_does_not_get_on() {
    for make in [
        (|tmp| (stalled_log(tmp), salvage(tmp))) as fn(&Path) -> ([Stall; 2], Command),
        |tmp| (stalled_files(tmp), import(tmp)),
    ] {
        let tmp = tempfile::tempdir().unwrap();
        let (stalls, command) = make(tmp.path());
        let mut child = start(command);
        interrupt(&child);
        assert!(
            child.try_wait().unwrap().is_none(),
            "the first one is enough"
        );
        interrupt(&child);
        // Otherwise it would go on now.
        assert!(!stalls[0].pass(&mut child), "it still waits for the file");
        let ended = ran(&child.wait_with_output().unwrap()).ends(130);
        assert_eq!(ended.stderr, "");
    }
}
