//! Threads, children and programs that the child becomes are followed.

use std::fs::{self};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use plugpull::trace::End;

use crate::children::shell;
use crate::traced::{Notes, Traced, go_on, without_at};

#[test]
fn threads_that_were_there_before_are_traced() {
    let traced = Traced::prepared(
        "followed::threads_that_were_there_before_are_traced",
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
fn children_are_followed() {
    let traced = Traced::new("followed::children_are_followed", |store| {
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
        "followed::a_program_in_any_language_is_followed_even_if_a_second_thread_executes_it",
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
    let traced = Traced::new("followed::signals_arrive", |store| {
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
    assert_eq!(run.end, End::Signaled(libc::SIGTERM));
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
