//! How a run ends, and that nothing of the child is left.

use std::fs::{self};
use std::io::{self};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use plugpull::trace::{Call, Decision, End};

use crate::children::{many_writers, shell};
use crate::traced::{Notes, Traced, end_of, go_on, snapshot};

#[test]
fn a_child_that_exits_is_reported_with_its_status() {
    let traced = Traced::new(
        "ends::a_child_that_exits_is_reported_with_its_status",
        |_| {
            std::process::exit(7);
        },
    );
    if let Some(run) = end_of(&traced) {
        assert_eq!((run.end, run.calls), (End::Exited(7), 0));
    }
}

#[test]
fn a_child_that_aborts_is_reported_with_its_signal() {
    let traced = Traced::new(
        "ends::a_child_that_aborts_is_reported_with_its_signal",
        |store| {
            fs::create_dir(store.join("d")).expect("mkdir");
            std::process::abort();
        },
    );
    if let Some(run) = end_of(&traced) {
        assert_eq!((run.end, run.calls), (End::Signaled(libc::SIGABRT), 1));
    }
}

#[test]
fn a_child_that_hangs_is_ended_with_all_it_started() {
    let mut traced = Traced::new(
        "ends::a_child_that_hangs_is_ended_with_all_it_started",
        |store| {
            // The other end is never opened.
            let script = "mkdir started; mkfifo pipe; cat pipe";
            let mut child = shell(store, script).spawn().expect("a shell");
            child.wait().expect("it does not end");
        },
    );
    traced.patience = Duration::from_millis(300);
    if let Some(run) = end_of(&traced) {
        assert_eq!(run.end, End::TimedOut);
    }
}

#[test]
fn a_child_can_be_ended_from_outside_at_any_time() {
    let traced = Traced::new(
        "ends::a_child_can_be_ended_from_outside_at_any_time",
        |_| {
            loop {
                thread::park();
            }
        },
    );
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
    let traced = Traced::new("ends::a_tracer_that_is_not_used_ends_its_child", |_| {});
    let (unused, root) = traced.start().expect("a child");
    assert_eq!(kill(root, None), Ok(()));
    drop(unused);
    assert_eq!(kill(root, None), Err(Errno::ESRCH), "the child is alive");
}

#[test]
fn what_a_child_leaves_behind_is_counted_and_ended() {
    let traced = Traced::new(
        "ends::what_a_child_leaves_behind_is_counted_and_ended",
        |store| {
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
        },
    );
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
        "ends::a_panic_in_the_observer_passes_on_and_leaves_nothing_alive",
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
