//! The tracer: what it reports is what happens, and what a stop shows is what a kill leaves.
//!
//! The children are these same tests, started again by their names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use plugpull::trace::{Call, Decision, End, Kind, Observer, Run, Tracer, enter_child};
use tempfile::TempDir;

const STORE: &str = "PLUGPULL_TRACE_TEST_STORE";
/// Far beyond what any of these children takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watched directory, and a child that is to work in it.
struct Traced {
    store: TempDir,
    test: &'static str,
    patience: Duration,
}

impl Traced {
    /// The name of the test that calls it, and what its child does. In the child it does not
    /// return.
    fn new(test: &'static str, script: fn(&Path)) -> Self {
        Self::prepared(test, || (), |store, ()| script(store))
    }

    /// The child prepares something before it is traced.
    fn prepared<T>(
        test: &'static str,
        prepare: impl FnOnce() -> T,
        script: impl FnOnce(&Path, T),
    ) -> Self {
        if let Some(store) = std::env::var_os(STORE) {
            let prepared = prepare();
            enter_child().expect("the tracer waits for us");
            script(Path::new(&store), prepared);
            std::process::exit(0);
        }
        Self {
            store: tempfile::tempdir().expect("a temporary directory"),
            test,
            patience: PATIENCE,
        }
    }

    fn dir(&self) -> PathBuf {
        self.store.path().join("store")
    }

    /// On an empty store. `None` where ptrace is not permitted.
    fn run(&self, observer: &mut (impl Observer + Send)) -> Option<Run> {
        match self.try_run(observer) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: {error}");
                None
            }
            run => Some(run.expect("the run ends")),
        }
    }

    fn try_run(&self, observer: &mut (impl Observer + Send)) -> io::Result<Run> {
        let (tracer, root) = self.start()?;
        let run = catch_unwind(AssertUnwindSafe(|| tracer.run(observer)));
        assert_eq!(kill(root, None), Err(Errno::ESRCH), "the child is alive");
        run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn start(&self) -> io::Result<(Tracer, Pid)> {
        if self.dir().exists() {
            fs::remove_dir_all(self.dir())?;
        }
        fs::create_dir(self.dir())?;
        let child = Command::new(std::env::current_exe()?)
            .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(STORE, self.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let root = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        let tracer = Tracer::new(child, &self.dir())?.time_limit(self.patience);
        Ok((tracer, root))
    }
}

/// The whole directory; `None` is a directory.
type Snapshot = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn snapshot(dir: &Path) -> Snapshot {
    fn visit(root: &Path, dir: &Path, into: &mut Snapshot) {
        for entry in fs::read_dir(dir).expect("it is stopped") {
            let path = entry.expect("it is stopped").path();
            let name = path.strip_prefix(root).expect("in it").to_owned();
            if let Ok(target) = path.read_link() {
                into.insert(name, Some(target.into_os_string().into_vec()));
            } else if path.is_dir() {
                visit(root, &path, into);
                into.insert(name, None);
            } else {
                into.insert(name, Some(fs::read(&path).expect("it is stopped")));
            }
        }
    }
    let mut all = Snapshot::new();
    visit(dir, dir, &mut all);
    all
}

/// Writes down what happens; decides by the number of the stop.
struct Notes<F> {
    dir: PathBuf,
    lines: Vec<String>,
    /// At each stop, before and after.
    snapshots: Vec<Snapshot>,
    calls: Vec<Call>,
    decide: F,
}

impl<F: FnMut(usize, &Call) -> Decision> Notes<F> {
    fn new(traced: &Traced, decide: F) -> Self {
        Self {
            dir: traced.dir(),
            lines: Vec::new(),
            snapshots: Vec::new(),
            calls: Vec::new(),
            decide,
        }
    }
}

impl<F: FnMut(usize, &Call) -> Decision> Observer for Notes<F> {
    fn before(&mut self, call: &Call) -> Decision {
        let stop = self.snapshots.len();
        self.snapshots.push(snapshot(&self.dir));
        self.lines.push(format!("{call}"));
        self.calls.push(call.clone());
        (self.decide)(stop, call)
    }

    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()> {
        let stop = self.snapshots.len();
        self.snapshots.push(snapshot(&self.dir));
        let line = self.lines.last_mut().expect("it began");
        assert!(line.starts_with(&format!("{call}")), "{call} after {line}");
        match result {
            // Descriptors are numbered as the test runner pleases.
            Ok(_) if call.kind() == Kind::Create => line.push_str(" = fd"),
            Ok(value) => write!(line, " = {value}").expect("memory"),
            Err(error) => write!(line, " = {:?}", error.kind()).expect("memory"),
        }
        match (self.decide)(stop, call) {
            Decision::Kill => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn go_on(_: usize, _: &Call) -> Decision {
    Decision::Continue
}

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

/// Some libraries and architectures know the `at` forms only.
fn without_at(line: &str) -> String {
    line.replace("at2(", "(").replace("at(", "(")
}

#[test]
fn every_call_is_reported_in_order() {
    let traced = Traced::new("every_call_is_reported_in_order", all_kinds);
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
    let traced = Traced::new("a_snapshot_is_what_a_kill_leaves", all_kinds);
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

/// What a shortened write is cut from.
fn one_of_each_write(store: &Path) {
    let mut file = File::create(store.join("f")).expect("create");
    file.write_all(b"0123456789").expect("write");
    file.write_all_at(b"abcdefghij", 10).expect("pwrite");
    // Constants, so that the array itself may be in memory that cannot be written to.
    let parts = [b"KLM".as_slice(), b"", b"NOPQ", b"RST"].map(io::IoSlice::new);
    let mut file = File::options()
        .append(true)
        .open(store.join("f"))
        .expect("open");
    let written = file.write_vectored(&parts).expect("writev");
    assert_eq!(written, 10);
}

#[test]
fn a_shortened_write_leaves_exactly_its_prefix() {
    const ALL: &[u8] = b"0123456789abcdefghijKLMNOPQRST";
    let traced = Traced::new(
        "a_shortened_write_leaves_exactly_its_prefix",
        one_of_each_write,
    );
    for (index, name) in ["write", "pwrite64", "writev"].into_iter().enumerate() {
        for length in 0..=10 {
            let mut notes = Notes::new(&traced, |_, call: &Call| {
                let [before] = call.paths() else {
                    panic!("{call}")
                };
                assert_eq!(before, "f");
                if call.name() == name && call.offset() == Some(10 * index as u64) {
                    Decision::ShortenThenKill(length)
                } else {
                    Decision::Continue
                }
            });
            let Some(run) = traced.run(&mut notes) else {
                return;
            };
            assert_eq!(run.end, End::Killed);
            let last = notes.lines.last().expect("some calls");
            assert!(last.ends_with(&format!(" = {length}")), "{last}");
            let left = fs::read(traced.dir().join("f")).expect("it was made");
            let expected = usize::try_from(length).expect("small") + 10 * index;
            assert_eq!(
                left.escape_ascii().to_string(),
                ALL[..expected].escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn what_cannot_be_shortened_is_an_error_and_leaves_nothing_alive() {
    let traced = Traced::new(
        "what_cannot_be_shortened_is_an_error_and_leaves_nothing_alive",
        one_of_each_write,
    );
    for (name, length) in [("openat", 0), ("write", 11), ("writev", 11)] {
        let mut notes = Notes::new(&traced, |_, call: &Call| match call.name() {
            called if called == name => Decision::ShortenThenKill(length),
            _ => Decision::Continue,
        });
        match traced.try_run(&mut notes) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return eprintln!("skipped: {error}");
            }
            run => {
                let kind = run.expect_err("it cannot be done").kind();
                assert_eq!(kind, io::ErrorKind::InvalidInput);
            }
        }
    }
}

#[test]
fn threads_that_were_there_before_are_traced() {
    let traced = Traced::prepared(
        "threads_that_were_there_before_are_traced",
        || {
            let (order, orders) = mpsc::channel::<PathBuf>();
            let early = thread::spawn(move || {
                let dir = orders.recv().expect("an order");
                fs::create_dir(dir).expect("mkdir");
            });
            (order, early)
        },
        |store, (order, early)| {
            order.send(store.join("early")).expect("it waits");
            early.join().expect("it is done");
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    if traced.run(&mut notes).is_some() {
        let lines: Vec<_> = notes.lines.iter().map(|line| without_at(line)).collect();
        assert_eq!(lines, ["mkdir(early) = 0"]);
    }
}

#[test]
fn only_what_touches_the_directory_is_reported() {
    let traced = Traced::new("only_what_touches_the_directory_is_reported", |store| {
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
    });
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
    ];
    assert_eq!(lines[..3], expected[..3]);
    assert!(
        lines[3].ends_with("sub/../relative, create, truncate) = NotFound"),
        "{}",
        lines[3]
    );
    assert_eq!(lines[4..], expected[4..]);
}

const WRITERS: u8 = 4;
const RECORDS: usize = 12;
const RECORD_BYTES: usize = 256 << 10;

/// Writers that fill a file each with records as large as tear when they are caught in the middle.
fn many_writers(store: &Path) {
    let start = Barrier::new(WRITERS.into());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let file = File::create(store.join(writer.to_string())).expect("create");
                for record in 0..RECORDS {
                    let bytes = vec![writer + 1; RECORD_BYTES];
                    let offset = record * RECORD_BYTES;
                    file.write_all_at(&bytes, offset as u64).expect("pwrite");
                }
            });
        }
    });
}

/// Fails if the directory changes while nobody may be in it.
struct Alone {
    dir: PathBuf,
    record_bytes: usize,
    inside: Option<Call>,
    last: Snapshot,
    calls: usize,
    threads: BTreeMap<i32, usize>,
}

impl Alone {
    fn new(traced: &Traced, record_bytes: usize) -> Self {
        Self {
            dir: traced.dir(),
            record_bytes,
            inside: None,
            last: Snapshot::new(),
            calls: 0,
            threads: BTreeMap::new(),
        }
    }

    fn look(&mut self) -> Snapshot {
        let now = snapshot(&self.dir);
        for (name, bytes) in &now {
            let len = bytes.as_ref().expect("files only").len();
            assert_eq!(len % self.record_bytes, 0, "{} is torn", name.display());
        }
        now
    }
}

impl Observer for Alone {
    fn before(&mut self, call: &Call) -> Decision {
        assert_eq!(
            self.inside, None,
            "{call} begins while another is in flight"
        );
        self.inside = Some(call.clone());
        self.calls += 1;
        *self.threads.entry(call.thread()).or_default() += 1;
        assert!(
            self.look() == self.last,
            "changed between two calls, before {call}"
        );
        Decision::Continue
    }

    fn after(&mut self, call: &Call, _: io::Result<u64>) -> ControlFlow<()> {
        assert_eq!(self.inside.take().as_ref(), Some(call));
        let now = self.look();
        let changed = now
            .iter()
            .filter(|(name, bytes)| self.last.get(*name) != Some(*bytes));
        assert_eq!(changed.count(), 1, "more than {call} happened");
        self.last = now;
        ControlFlow::Continue(())
    }
}

#[test]
fn of_many_threads_one_at_a_time_is_in_a_call() {
    let traced = Traced::new("of_many_threads_one_at_a_time_is_in_a_call", many_writers);
    let mut alone = Alone::new(&traced, RECORD_BYTES);
    let Some(run) = traced.run(&mut alone) else {
        return;
    };
    assert_eq!(run.end, End::Exited(0));
    assert_eq!(alone.calls, usize::from(WRITERS) * (RECORDS + 1));
    assert_eq!(alone.threads.len(), usize::from(WRITERS));
    assert!(alone.threads.values().all(|calls| *calls == RECORDS + 1));
}

#[test]
fn of_many_processes_one_at_a_time_is_in_a_call() {
    let traced = Traced::new("of_many_processes_one_at_a_time_is_in_a_call", |store| {
        let script =
            "for a in 1 2 3 4; do (for b in 1 2 3 4 5; do echo a >$a-$b; done)& done; wait";
        panic!("{}", shell(store, script).exec());
    });
    let mut alone = Alone::new(&traced, "a\n".len());
    let Some(run) = traced.run(&mut alone) else {
        return;
    };
    assert_eq!(run.end, End::Exited(0));
    // The files are the shell's standard output.
    assert_eq!((alone.calls, alone.threads.len()), (40, 4));
}

/// Threads that write for ever, and have all begun.
fn endless_writers(store: &Path) {
    let (begun, all) = mpsc::channel();
    for writer in 0..WRITERS {
        let (file, begun) = (File::create(store.join(writer.to_string())), begun.clone());
        thread::spawn(move || {
            let file = file.expect("create");
            loop {
                file.write_all_at(b"again", 0).expect("pwrite");
                begun.send(()).expect("the main thread listens");
            }
        });
    }
    assert_eq!(all.iter().take(100).count(), 100);
    std::mem::forget(all);
}

#[test]
fn an_exit_while_threads_are_held_is_an_exit() {
    let traced = Traced::new("an_exit_while_threads_are_held_is_an_exit", |store| {
        endless_writers(store);
        std::process::exit(5);
    });
    if let Some(run) = end_of(&traced) {
        assert_eq!((run.end, run.left_behind), (End::Exited(5), 0));
    }
}

#[test]
fn an_exec_while_threads_are_held_lets_the_new_program_in() {
    let traced = Traced::new(
        "an_exec_while_threads_are_held_lets_the_new_program_in",
        |store| {
            endless_writers(store);
            panic!("{}", shell(store, "mkdir new; exit 6").exec());
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    if let Some(run) = traced.run(&mut notes) {
        assert_eq!(run.end, End::Exited(6));
        let last = notes.lines.last().expect("some calls");
        assert_eq!(without_at(last), "mkdir(new) = 0");
    }
}

#[test]
fn an_exec_by_another_thread_while_the_main_thread_is_in_a_call_opens_the_gate() {
    let traced = Traced::new(
        "an_exec_by_another_thread_while_the_main_thread_is_in_a_call_opens_the_gate",
        |store| {
            let file = File::create(store.join("f")).expect("create");
            let (begun, go) = mpsc::sync_channel(0);
            let mut new = shell(store, "mkdir new; exit 6");
            thread::spawn(move || {
                go.recv().expect("the main thread has begun");
                panic!("{}", new.exec());
            });
            begun.send(()).expect("the other thread listens");
            loop {
                file.write_all_at(b"again", 0).expect("pwrite");
            }
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    if let Some(run) = traced.run(&mut notes) {
        assert_eq!(run.end, End::Exited(6));
        let last = notes.lines.last().expect("some calls");
        assert_eq!(without_at(last), "mkdir(new) = 0");
    }
}

#[test]
fn a_thread_that_waits_for_another_elsewhere_does_not_lock_the_gate() {
    let traced = Traced::new(
        "a_thread_that_waits_for_another_elsewhere_does_not_lock_the_gate",
        |store| {
            // The pipe is full, so this write blocks until the other thread has written its file.
            let (mut from, mut to) = io::pipe().expect("a pipe");
            let file = store.join("f");
            thread::scope(|scope| {
                scope.spawn(move || to.write_all(&vec![0; 1 << 20]).expect("write to a pipe"));
                fs::write(file, "done").expect("write");
                let drained = io::copy(&mut from, &mut io::sink()).expect("read");
                assert_eq!(drained, 1 << 20);
            });
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!((run.end, run.calls), (End::Exited(0), 2));
}

/// A shell is a program that knows nothing of all this.
fn shell(store: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(store);
    shell
}

#[test]
fn children_are_followed() {
    let traced = Traced::new("children_are_followed", |store| {
        fs::write(store.join("mine"), "parent").expect("write");
        let script = "echo child >f; (echo grandchild >>f); mv f g";
        let status = shell(store, script).status().expect("a shell");
        assert!(status.success());
        fs::remove_file(store.join("g")).expect("unlink");
    });
    let mut notes = Notes::new(&traced, go_on);
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!((run.end, run.left_behind), (End::Exited(0), 0));
    let lines: Vec<_> = notes.lines.iter().map(|line| without_at(line)).collect();
    let expected = [
        "open(mine, create, truncate) = fd",
        "write(mine, 6 bytes at 0) = 6",
        "open(f, create, truncate) = fd",
        "write(f, 6 bytes at 0) = 6",
        "open(f, create) = fd",
        "write(f, 11 bytes at 6) = 11",
        "rename(f -> g) = 0",
        "unlink(g) = 0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_program_in_any_language_is_followed_even_if_a_second_thread_executes_it() {
    let traced = Traced::new(
        "a_program_in_any_language_is_followed_even_if_a_second_thread_executes_it",
        |store| {
            let store = store.to_owned();
            let execution = thread::spawn(move || {
                let error = shell(&store, "mkdir a; mkdir b; exit 3").exec();
                panic!("{error}");
            });
            execution
                .join()
                .expect("this process is another program by then");
        },
    );
    let mut notes = Notes::new(&traced, go_on);
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!(run.end, End::Exited(3));
    let lines: Vec<_> = notes.lines.iter().map(|line| without_at(line)).collect();
    assert_eq!(lines, ["mkdir(a) = 0", "mkdir(b) = 0"]);
}

#[test]
fn signals_arrive() {
    let traced = Traced::new("signals_arrive", |store| {
        // 40 is a real-time signal. Then it is stopped, and continued only once it has stopped.
        let script = r#"
            trap "mkdir usr1" USR1; kill -USR1 $$
            trap "mkdir forty" 40; kill -40 $$
            ( kill -STOP $$
              until grep -q "^State:.[Tt]" /proc/$$/status; do :; done
              kill -CONT $$ ) &
            wait
            mkdir continued
            kill -TERM $$"#;
        panic!("{}", shell(store, script).exec());
    });
    let mut notes = Notes::new(&traced, go_on);
    let Some(run) = traced.run(&mut notes) else {
        return;
    };
    assert_eq!(run.end, End::Signaled(nix::libc::SIGTERM));
    let lines: Vec<_> = notes.lines.iter().map(|line| without_at(line)).collect();
    assert_eq!(
        lines,
        [
            "mkdir(usr1) = 0",
            "mkdir(forty) = 0",
            "mkdir(continued) = 0"
        ]
    );
}

/// How the child ended, if it could be traced.
fn end_of(traced: &Traced) -> Option<Run> {
    traced.run(&mut Notes::new(traced, go_on))
}

#[test]
fn a_child_that_exits_is_reported_with_its_status() {
    let traced = Traced::new("a_child_that_exits_is_reported_with_its_status", |_| {
        std::process::exit(7);
    });
    if let Some(run) = end_of(&traced) {
        assert_eq!((run.end, run.calls), (End::Exited(7), 0));
    }
}

#[test]
fn a_child_that_aborts_is_reported_with_its_signal() {
    let traced = Traced::new("a_child_that_aborts_is_reported_with_its_signal", |store| {
        fs::create_dir(store.join("d")).expect("mkdir");
        std::process::abort();
    });
    if let Some(run) = end_of(&traced) {
        assert_eq!((run.end, run.calls), (End::Signaled(nix::libc::SIGABRT), 1));
    }
}

#[test]
fn a_child_that_hangs_is_ended_with_all_it_started() {
    let mut traced = Traced::new("a_child_that_hangs_is_ended_with_all_it_started", |store| {
        // Nobody ever opens the other end.
        let script = "mkdir started; mkfifo pipe; cat pipe";
        let mut child = shell(store, script).spawn().expect("a shell");
        child.wait().expect("it does not end");
    });
    traced.patience = Duration::from_millis(300);
    if let Some(run) = end_of(&traced) {
        assert_eq!(run.end, End::TimedOut);
    }
}

#[test]
fn a_child_can_be_ended_from_outside_at_any_time() {
    let traced = Traced::new("a_child_can_be_ended_from_outside_at_any_time", |_| {
        loop {
            thread::park();
        }
    });
    for before in [false, true] {
        let (run, root) = {
            let (watched, root) = traced.start().expect("a child");
            let stopper = watched.stopper();
            let mut notes = Notes::new(&traced, go_on);
            if before {
                stopper.stop();
            }
            let run = thread::scope(|scope| {
                scope.spawn(|| stopper.stop());
                watched.run(&mut notes)
            });
            (run, root)
        };
        assert_eq!(kill(root, None), Err(Errno::ESRCH), "the child is alive");
        match run {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !before => {
                return eprintln!("skipped: {error}");
            }
            run => assert_eq!(run.expect("the run ends").end, End::Stopped),
        }
    }
}

#[test]
fn a_tracer_that_is_not_used_ends_its_child() {
    let traced = Traced::new("a_tracer_that_is_not_used_ends_its_child", |_| {});
    let (unused, root) = traced.start().expect("a child");
    assert_eq!(kill(root, None), Ok(()));
    drop(unused);
    assert_eq!(kill(root, None), Err(Errno::ESRCH), "the child is alive");
}

#[test]
fn what_a_child_leaves_behind_is_counted_and_ended() {
    let traced = Traced::new("what_a_child_leaves_behind_is_counted_and_ended", |store| {
        // Both wait for the end of a pipe that they keep open themselves.
        let (from, to) = io::pipe().expect("a pipe");
        for _ in 0..2 {
            let (from, to) = (from.try_clone(), to.try_clone());
            #[expect(clippy::zombie_processes, reason = "that is what is tested")]
            let child = Command::new("cat")
                .stdin(from.expect("a copy"))
                .stdout(to.expect("a copy"))
                .spawn()
                .expect("a process");
            let name = child.id().to_string();
            fs::create_dir(store.join(name)).expect("mkdir");
        }
    });
    let Some(run) = end_of(&traced) else {
        return;
    };
    assert_eq!((run.end, run.left_behind), (End::Exited(0), 2));
    // They may wait for the init process to reap them, but they do not run.
    for name in snapshot(&traced.dir()).keys() {
        let status = fs::read_to_string(Path::new("/proc").join(name).join("status"));
        let gone = status.map_or(true, |status| status.contains("State:\tZ"));
        assert!(gone, "process {} runs", name.display());
    }
}

#[test]
fn a_panic_in_the_observer_passes_on_and_leaves_nothing_alive() {
    let traced = Traced::new(
        "a_panic_in_the_observer_passes_on_and_leaves_nothing_alive",
        many_writers,
    );
    let mut notes = Notes::new(&traced, |stop, _: &Call| {
        assert!(stop < 5, "enough is enough");
        Decision::Continue
    });
    // That nothing is left is checked by `try_run`.
    let result = catch_unwind(AssertUnwindSafe(|| traced.run(&mut notes)));
    match result {
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().copied();
            assert_eq!(message, Some("enough is enough"));
        }
        Ok(run) => assert_eq!(run, None, "it panics where it runs at all"),
    }
}

#[test]
fn a_mapping_is_known_by_its_file_and_io_uring_by_name() {
    let traced = Traced::new(
        "a_mapping_is_known_by_its_file_and_io_uring_by_name",
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
    // SAFETY: nobody else has the file.
    let mut map = unsafe { memmap2::MmapMut::map_mut(file.as_raw_fd()) }.expect("mmap");
    map[5000] = 1;
    map.flush_range(4096, 4096).expect("msync");
}

#[expect(unsafe_code, reason = "a system call without a wrapper")]
fn enter_no_ring() {
    // SAFETY: the descriptor is none, so the kernel refuses before it reads anything.
    let entered = unsafe { nix::libc::syscall(nix::libc::SYS_io_uring_enter, -1, 3, 0, 0, 0, 0) };
    assert_eq!(entered, -1);
}

/// How many stops a second, for whoever wants to know: `--nocapture`.
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
    let traced = Traced::new("many_small_calls_are_traced", |store| {
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
