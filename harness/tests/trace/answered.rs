//! Calls that are answered with an error, or cut short, while the program goes on.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, renameat};
use nix::sys::stat::Mode;
use nix::sys::uio::{pwrite, writev};
use nix::unistd::{fdatasync, fsync, mkdir, write};
use plugpull::trace::{Call, Decision, End};

use crate::traced::{Notes, Traced, without_at};

/// The calls of the child that the tracer reports, in this order.
const CALLS: [&str; 10] = [
    "open(f, create)",
    "write(f, 10 bytes at 0)",
    "pwrite64(f, 10 bytes at 10)",
    "writev(f, 10 bytes at 10)",
    "fsync(f)",
    "fdatasync(f)",
    "open(g, create)",
    "rename(f -> h)",
    "mkdir(d)",
    "fsync(.)",
];

/// Where the child says what came of its calls: outside of the store.
fn outcomes(store: &Path) -> PathBuf {
    store.with_file_name("outcomes")
}

/// Makes each call once, whatever came of the others, with no wrapper that tries again.
fn one_of_each(store: &Path) {
    let mut told = String::new();
    let mut tell = |result: Result<usize, Errno>| match result {
        Ok(count) => writeln!(told, "{count}").expect("memory"),
        Err(error) => writeln!(told, "errno {}", error as i32).expect("memory"),
    };
    let (mode, creating) = (Mode::from_bits_truncate(0o644), OFlag::O_CREAT);
    let opened = open(&store.join("f"), creating | OFlag::O_RDWR, mode);
    tell(opened.as_ref().map(|_| 0).map_err(|error| *error));
    let file = match opened {
        Ok(file) => File::from(file),
        // It is needed for the others.
        Err(_) => File::create_new(store.join("f")).expect("nothing was made"),
    };
    tell(write(&file, b"0123456789"));
    tell(pwrite(&file, b"abcdefghij", 10));
    let parts = [b"KLM".as_slice(), b"", b"NOPQ", b"RST"].map(IoSlice::new);
    tell(writev(&file, &parts));
    tell(fsync(&file).map(|()| 0));
    tell(fdatasync(&file).map(|()| 0));
    tell(open(&store.join("g"), creating, mode).map(|_| 0));
    tell(renameat(AT_FDCWD, &store.join("f"), AT_FDCWD, &store.join("h")).map(|()| 0));
    tell(mkdir(&store.join("d"), mode).map(|()| 0));
    let dir = File::open(store).expect("it is there");
    tell(fsync(&dir).map(|()| 0));
    fs::write(outcomes(store), told).expect("told");
}

/// By default, what each call gives.
const WELL: [&str; CALLS.len()] = ["0", "10", "10", "10", "0", "0", "0", "0", "0", "0"];

#[test]
fn an_answered_call_changes_nothing_and_the_program_gets_the_error() {
    let traced = Traced::new(
        "answered::an_answered_call_changes_nothing_and_the_program_gets_the_error",
        one_of_each,
    );
    for (errno, index) in [Errno::EIO, Errno::ENOSPC, Errno::EINTR]
        .into_iter()
        .flat_map(|errno| (0..CALLS.len()).map(move |index| (errno, index)))
    {
        // There are two stops for each call.
        let stop = 2 * index;
        let mut notes = Notes::new(&traced, |now, _: &Call| {
            if now == stop {
                Decision::Answer(errno as i32)
            } else {
                Decision::Continue
            }
        });
        let Some(run) = traced.run(&mut notes) else {
            return;
        };
        assert_eq!(run.end, End::Exited(0), "{errno} of {}", CALLS[index]);
        let line = without_at(&notes.lines[stop / 2]);
        // Where the first write is left out, the position of the others differs.
        let name = CALLS[index].split('(').next().expect("one");
        assert!(line.starts_with(name), "{line} for {}", CALLS[index]);
        let kind = io::Error::from_raw_os_error(errno as i32).kind();
        assert!(line.ends_with(&format!(" = {kind:?}")), "{line}");
        assert_eq!(
            notes.snapshots[stop],
            notes.snapshots[stop + 1],
            "{line} changed something"
        );
        let mut expected = WELL.map(str::to_owned);
        expected[index] = format!("errno {}", errno as i32);
        let told = fs::read_to_string(outcomes(&traced.dir())).expect("told");
        assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{line}");
    }
}

/// Writes all of it in a loop, and goes by the counts.
fn in_a_loop(store: &Path) {
    let file = File::create(store.join("f")).expect("create");
    let mut told = String::new();
    let mut rest = b"0123456789".as_slice();
    while !rest.is_empty() {
        let count = write(&file, rest).expect("written");
        writeln!(told, "{count}").expect("memory");
        rest = &rest[count..];
    }
    let mut at = 10;
    while at < 20 {
        let part = &b"abcdefghij"[at - 10..];
        let count = file.write_at(part, at as u64).expect("written");
        writeln!(told, "{count}").expect("memory");
        at += count;
    }
    // The same array twice: it must be what it was before. Its bytes are constants.
    let parts = [b"KLM".as_slice(), b"", b"NOPQ", b"RST"].map(IoSlice::new);
    for _ in 0..2 {
        let count = writev(&file, &parts).expect("written");
        writeln!(told, "{count}").expect("memory");
    }
    fs::write(outcomes(store), told).expect("told");
}

#[test]
fn a_write_that_is_cut_short_writes_its_beginning_and_the_program_goes_on() {
    let traced = Traced::new(
        "answered::a_write_that_is_cut_short_writes_its_beginning_and_the_program_goes_on",
        in_a_loop,
    );
    for length in 1..10 {
        for name in ["write", "pwrite64", "writev"] {
            let mut is_cut = false;
            let mut notes = Notes::new(&traced, |stop, call: &Call| {
                let cuts = stop % 2 == 0 && call.name() == name && !is_cut;
                is_cut |= cuts;
                if cuts {
                    Decision::Shorten(length)
                } else {
                    Decision::Continue
                }
            });
            let Some(run) = traced.run(&mut notes) else {
                return;
            };
            assert_eq!(run.end, End::Exited(0));
            let rest = 10 - length;
            let both = format!("{length}\n{rest}\n");
            let told = match name {
                "write" => format!("{both}10\n10\n10\n"),
                "pwrite64" => format!("10\n{both}10\n10\n"),
                _ => format!("10\n10\n{length}\n10\n"),
            };
            let outcomes = fs::read_to_string(outcomes(&traced.dir())).expect("told");
            assert_eq!(outcomes, told, "{name}, {length} bytes");
            let vector = "KLMNOPQRST";
            let cut = usize::try_from(length).expect("small");
            let first = if name == "writev" {
                &vector[..cut]
            } else {
                vector
            };
            // The vectors are written from the position after the first write on.
            let mut all = b"0123456789abcdefghij".to_vec();
            let vectors = [first.as_bytes(), vector.as_bytes()].concat();
            all.resize(all.len().max(10 + vectors.len()), 0);
            all[10..10 + vectors.len()].copy_from_slice(&vectors);
            let left = fs::read(traced.dir().join("f")).expect("it was made");
            assert_eq!(
                left.escape_ascii().to_string(),
                all.escape_ascii().to_string()
            );
        }
    }
}

/// Sends a signal to one thread: of those that are sent to a process, another thread may take care.
#[expect(unsafe_code, reason = "nix does not have it")]
fn interrupt(thread: i32) {
    // SAFETY: the arguments are integers.
    let sent = unsafe { libc::syscall(libc::SYS_tkill, thread, libc::SIGUSR1) };
    assert_eq!(sent, 0, "it is stopped");
}

/// Of a call that a signal interrupts, the kernel makes a new one; one that is answered is not made again.
#[test]
fn an_answer_of_eintr_is_not_made_a_new_call_by_a_signal() {
    let traced = Traced::new(
        "answered::an_answer_of_eintr_is_not_made_a_new_call_by_a_signal",
        |store| {
            let was_sent = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(libc::SIGUSR1, Arc::clone(&was_sent)).expect("a handler");
            let file = File::create(store.join("f")).expect("create");
            let told = format!("{:?}", fsync(&file));
            let was_sent = was_sent.load(std::sync::atomic::Ordering::SeqCst);
            fs::write(outcomes(store), format!("{told}, {was_sent}")).expect("told");
        },
    );
    let mut notes = Notes::new(&traced, |stop, call: &Call| match call.name() {
        "fsync" if stop % 2 == 0 => {
            interrupt(call.thread());
            Decision::Answer(libc::EINTR)
        }
        _ => Decision::Continue,
    });
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!(run.end, End::Exited(0));
    let told = fs::read_to_string(outcomes(&traced.dir())).expect("told");
    assert_eq!(told, "Err(EINTR), true");
    let syncs = notes.lines.iter().filter(|line| line.contains("fsync"));
    assert_eq!(syncs.count(), 1, "{:?}", notes.lines);
}

/// The numbers from 512 on tell the kernel to restart a call; a program never sees one.
#[test]
fn only_errors_of_programs_are_answered() {
    let traced = Traced::new("answered::only_errors_of_programs_are_answered", |store| {
        drop(File::create(store.join("f")));
    });
    for errno in [0, -1, 512, 516] {
        let mut notes = Notes::new(&traced, |_, _: &Call| Decision::Answer(errno));
        match traced.try_run(&mut notes) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return eprintln!("skipped: {error}");
            }
            run => {
                let error = run.expect_err("there is no such error");
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            }
        }
    }
}
