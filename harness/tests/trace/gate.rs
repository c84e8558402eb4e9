//! One call at a time: the others are held, and none of them for ever.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use plugpull::trace::{Call, Decision, End, Observer};

use crate::children::{RECORD_BYTES, RECORDS, WRITERS, endless_writers, many_writers, shell};
use crate::traced::{Notes, Snapshot, Traced, end_of, go_on, snapshot, without_at};

/// Fails if the directory changes while no call may be in it.
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
    let traced = Traced::new(
        "gate::of_many_threads_one_at_a_time_is_in_a_call",
        many_writers,
    );
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
    let traced = Traced::new(
        "gate::of_many_processes_one_at_a_time_is_in_a_call",
        |store| {
            let script =
                "for a in 1 2 3 4; do (for b in 1 2 3 4 5; do echo a >$a-$b; done)& done; wait";
            panic!("{}", shell(store, script).exec());
        },
    );
    let mut alone = Alone::new(&traced, "a\n".len());
    let Some(run) = traced.run(&mut alone) else {
        return;
    };
    assert_eq!(run.end, End::Exited(0));
    // The files are the shell's standard output.
    assert_eq!((alone.calls, alone.threads.len()), (40, 4));
}

#[test]
fn an_exit_while_threads_are_held_is_an_exit() {
    let traced = Traced::new("gate::an_exit_while_threads_are_held_is_an_exit", |store| {
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
        "gate::an_exec_while_threads_are_held_lets_the_new_program_in",
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
        "gate::an_exec_by_another_thread_while_the_main_thread_is_in_a_call_opens_the_gate",
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
        "gate::a_thread_that_waits_for_another_elsewhere_does_not_lock_the_gate",
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
