//! What is reported: every call on the directory, in order, and nothing else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use plugpull::trace::{Call, Decision, End, Kind, Observer};

use crate::traced::{Notes, Traced, go_on, snapshot, without_at};

/// Every kind of call, from two threads that take turns.
fn all_kinds(store: &Path) {
    let (store, (turn, my_turn)) = (store.to_owned(), mpsc::channel());
    let first = File::create(store.join("a")).expect("create");
    first.write_all_at(&[1; 5000], 100).expect("pwrite");
    let other = thread::spawn({
        let store = store.clone();
        move || {
            my_turn.recv().expect("a turn");
            let mut file = File::options()
                .append(true)
                .open(store.join("a"))
                .expect("open");
            file.write_all(&[2; 10]).expect("write");
            let parts = [io::IoSlice::new(&[3; 7]), io::IoSlice::new(&[4; 9])];
            let written = file.write_vectored(&parts).expect("writev");
            assert_eq!(written, 16);
            fs::create_dir(store.join("sub")).expect("mkdir");
        }
    });
    first.sync_data().expect("fdatasync");
    turn.send(()).expect("the other thread waits");
    other.join().expect("the other thread is done");
    fs::rename(store.join("a"), store.join("sub/b")).expect("rename");
    let dir = File::open(store.join("sub")).expect("open a directory");
    dir.sync_all().expect("fsync");
    first.set_len(4000).expect("ftruncate");
    fs::hard_link(store.join("sub/b"), store.join("c")).expect("link");
    std::os::unix::fs::symlink("nowhere", store.join("d")).expect("symlink");
    fs::remove_file(store.join("d")).expect("unlink");
    assert!(
        fs::remove_dir(store.join("sub")).is_err(),
        "it is not empty"
    );
    fs::copy(store.join("c"), store.join("e")).expect("copy");
}

const ALL_KINDS: [&str; 13] = [
    "openat(a, create, truncate) = fd",
    "pwrite64(a, 5000 bytes at 100) = 5000",
    "fdatasync(a) = 0",
    "write(a, 10 bytes at 5100) = 10",
    "writev(a, 16 bytes at 5110) = 16",
    "mkdir(sub) = 0",
    "rename(a -> sub/b) = 0",
    "fsync(sub) = 0",
    "ftruncate(sub/b, to 4000 bytes) = 0",
    "linkat(sub/b -> c) = 0",
    "symlink(d) = 0",
    "unlink(d) = 0",
    "rmdir(sub) = DirectoryNotEmpty",
];

#[test]
fn every_call_is_reported_in_order() {
    let traced = Traced::new("reported::every_call_is_reported_in_order", all_kinds);
    let mut notes = Notes::new(&traced, go_on);
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!(run.end, End::Exited(0));
    assert_eq!(run.left_behind, 0);
    assert_eq!(run.calls, notes.lines.len() as u64);
    let (known, copy) = notes.lines.split_at(ALL_KINDS.len());
    for (line, expected) in known.iter().zip(ALL_KINDS) {
        assert_eq!(without_at(line), without_at(expected));
    }
    // How std copies depends on the file system.
    assert!(
        copy[0].starts_with("openat(e, create, truncate)"),
        "{copy:?}"
    );
    assert!(copy.iter().any(|line| line.ends_with("= 4000")), "{copy:?}");
    let threads: Vec<_> = notes.calls.iter().map(Call::thread).collect();
    assert_eq!(threads[3], threads[5]);
    assert_ne!(threads[3], threads[0]);
}

#[test]
fn a_snapshot_is_what_a_kill_leaves() {
    let traced = Traced::new("reported::a_snapshot_is_what_a_kill_leaves", all_kinds);
    let mut notes = Notes::new(&traced, go_on);
    if traced.run(&mut notes).is_none() {
        return;
    }
    assert!(notes.snapshots.len() > 2 * ALL_KINDS.len());
    for (stop, expected) in notes.snapshots.iter().enumerate() {
        let mut killed = Notes::new(&traced, |at, _: &Call| match at {
            at if at == stop => Decision::Kill,
            _ => Decision::Continue,
        });
        let run = traced.run(&mut killed).expect("it was permitted before");
        assert_eq!(run.end, End::Killed);
        assert_eq!(&snapshot(&traced.dir()), expected, "at stop {stop}");
    }
}

#[test]
fn only_what_touches_the_directory_is_reported() {
    let traced = Traced::new(
        "reported::only_what_touches_the_directory_is_reported",
        |store| {
            let outside = store.with_file_name("outside");
            let beside = store.with_file_name("store-beside");
            fs::write(&outside, "elsewhere").expect("write");
            fs::write(&beside, "a name that begins like ours").expect("write");
            File::open(&beside)
                .expect("open")
                .sync_all()
                .expect("fsync");
            let link = store.with_file_name("link");
            if !link.exists() {
                std::os::unix::fs::symlink(store, &link).expect("symlink");
            }
            // In: through a link, relative, by rename.
            fs::write(link.join("through"), "a link").expect("write");
            std::env::set_current_dir(store).expect("chdir");
            fs::write("relative", "").expect("write");
            fs::write("sub/../relative", "").expect_err("there is no sub");
            fs::rename(&outside, "moved-in").expect("rename");
            // Reading is not reported.
            assert_eq!(fs::read("moved-in").expect("read"), b"elsewhere");
            // A pipe that happens to live here is not a file.
            let status = Command::new("mkfifo").arg("pipe").status().expect("mkfifo");
            assert!(status.success());
            let mut pipe = File::options()
                .read(true)
                .write(true)
                .open("pipe")
                .expect("open");
            pipe.write_all(b"into a pipe").expect("write");
            println!("nor is standard output");
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    if traced.run(&mut notes).is_none() {
        return;
    }
    let outside = traced.dir().with_file_name("outside");
    let outside = outside.canonicalize().unwrap_or(outside);
    let lines: Vec<_> = notes.lines.iter().map(|line| without_at(line)).collect();
    let expected = [
        "open(through, create, truncate) = fd".to_owned(),
        "write(through, 6 bytes at 0) = 6".to_owned(),
        "open(relative, create, truncate) = fd".to_owned(),
        format!(
            "open({}/sub/../relative, create, truncate) = NotFound",
            traced.dir().display()
        ),
        format!("rename({} -> moved-in) = 0", outside.display()),
        // What is written into it is not.
        "mknod(pipe) = 0".to_owned(),
    ];
    assert_eq!(lines[..3], expected[..3]);
    assert!(
        lines[3].ends_with("sub/../relative, create, truncate) = NotFound"),
        "{}",
        lines[3]
    );
    assert_eq!(lines[4..], expected[4..]);
}

#[test]
fn a_mapping_is_known_by_its_file_and_io_uring_by_name() {
    let traced = Traced::new(
        "reported::a_mapping_is_known_by_its_file_and_io_uring_by_name",
        |store| {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(store.join("mapped"))
                .expect("create");
            file.set_len(8192).expect("ftruncate");
            sync_a_mapping(&file);
            enter_no_ring();
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    if traced.run(&mut notes).is_none() {
        return;
    }
    let [.., msync, ring] = &notes.lines[..] else {
        panic!("{:?}", notes.lines)
    };
    assert_eq!(msync, "msync(mapped, 4096 bytes) = 0");
    assert!(ring.starts_with("io_uring_enter(3 requests) = "), "{ring}");
    assert_eq!(notes.calls.last().map(Call::kind), Some(Kind::IoUring));
}

#[expect(unsafe_code, reason = "memory shared with a file")]
fn sync_a_mapping(file: &File) {
    // SAFETY: the file is not shared.
    let mut map = unsafe { memmap2::MmapMut::map_mut(file.as_raw_fd()) }.expect("mmap");
    map[5000] = 1;
    map.flush_range(4096, 4096).expect("msync");
}

#[expect(unsafe_code, reason = "a system call without a wrapper")]
fn enter_no_ring() {
    // SAFETY: the descriptor is none, so the kernel refuses before it reads anything.
    let entered = unsafe { libc::syscall(libc::SYS_io_uring_enter, -1, 3, 0, 0, 0, 0) };
    assert_eq!(entered, -1);
}

/// The number of stops a second: shown with `--nocapture`.
#[test]
fn many_small_calls_are_traced() {
    const CALLS: u64 = 2000;
    struct Count(u64);
    impl Observer for Count {
        fn before(&mut self, _: &Call) -> Decision {
            Decision::Continue
        }
        fn after(&mut self, _: &Call, _: io::Result<u64>) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let traced = Traced::new("reported::many_small_calls_are_traced", |store| {
        let mut file = File::create(store.join("f")).expect("create");
        for _ in 1..CALLS {
            file.write_all(b"a small record").expect("write");
        }
    });
    let mut count = Count(0);
    let start = std::time::Instant::now();
    if traced.run(&mut count).is_none() {
        return;
    }
    assert_eq!(count.0, CALLS);
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{:.0} stops a second", 2.0 * CALLS as f64 / seconds);
}
