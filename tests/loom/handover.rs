//! The result of work on an executor, on its way back to whoever waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::executor::{Executor, Outcome, submit};
use crate::world::exhaustive;

struct OnThread {
    runs: bool,
}

impl Executor for OnThread {
    fn execute(&self, work: Box<dyn FnOnce() + Send>) {
        let runs = self.runs;
        thread::spawn(move || if runs { work() } else { drop(work) });
    }
}

#[derive(Default)]
struct Signal(Mutex<bool>, Condvar);

impl Wake for Signal {
    fn wake(self: StdArc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }
}

fn wait<R>(mut outcome: Outcome<R>, moves: bool) -> Option<R> {
    if moves {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = Pin::new(&mut outcome).poll(cx) {
            return result;
        }
    }
    let signal = StdArc::new(Signal::default());
    let waker = Waker::from(signal.clone());
    loop {
        let cx = &mut Context::from_waker(&waker);
        if let Poll::Ready(result) = Pin::new(&mut outcome).poll(cx) {
            return result;
        }
        let mut woken = signal.0.lock().unwrap();
        while !*woken {
            woken = signal.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

#[test]
fn whoever_waits_for_work_hears_what_became_of_it() {
    for (runs, moves) in [(true, false), (true, true), (false, false), (false, true)] {
        exhaustive(move || {
            let result = wait(submit(&OnThread { runs }, || 7), moves);
            assert_eq!(result, runs.then_some(7));
        });
    }
}

#[test]
fn work_that_nobody_waits_for_ends() {
    for runs in [true, false] {
        exhaustive(move || {
            let done = StdArc::new(loom::sync::atomic::AtomicBool::new(false));
            let seen = done.clone();
            let outcome = submit(&OnThread { runs }, move || {
                done.store(true, loom::sync::atomic::Ordering::SeqCst);
            });
            drop(outcome);
            let _ = seen.load(loom::sync::atomic::Ordering::SeqCst);
        });
    }
}
