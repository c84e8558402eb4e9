//! A store that hangs in this process: nothing can end its thread, so the process has to end.
//!
//! What runs stores in this process runs on a thread of its own, and its caller learns of a hang
//! instead of waiting for ever.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use crate::crash_kind::CrashKind;
use crate::oracle::Violation;

/// A store that hangs.
#[derive(Debug)]
pub(crate) struct Hang {
    pub(crate) subject: String,
    pub(crate) crash: CrashKind,
    pub(crate) seed: u64,
    pub(crate) violation: Violation,
    /// Where what is known of it is saved.
    pub(crate) saved: io::Result<PathBuf>,
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.subject, self.violation)?;
        match &self.saved {
            Ok(folder) => writeln!(f, "  saved in {}", folder.display())?,
            Err(error) => writeln!(f, "  (not saved: {error})")?,
        }
        write!(
            f,
            "A store that hangs in this process cannot be ended: the torture ends here, and the \
             process has to end."
        )
    }
}

/// Is called when a store hangs.
pub(crate) type OnHang = Arc<dyn Fn(Hang) + Send + Sync>;

enum Message<T> {
    Done(T),
    Hangs(Hang),
}

fn channel<T: Send + 'static>() -> (Sender<Message<T>>, OnHang, mpsc::Receiver<Message<T>>) {
    let (sender, receiver) = mpsc::channel();
    let hangs = sender.clone();
    // If there is no receiver any more, the work was done in time after all.
    let on_hang = move |hang| drop(hangs.send(Message::Hangs(hang)));
    (sender, Arc::new(on_hang), receiver)
}

/// Does work that runs stores in this process. The thread of a store that hangs is left behind.
///
/// # Errors
/// If a store hangs. The process should end soon.
pub(crate) fn apart<T: Send + 'static>(
    work: impl FnOnce(&OnHang) -> T + Send + 'static,
) -> Result<T, Hang> {
    let (done, on_hang, receiver) = channel();
    let worker = thread::spawn(move || drop(done.send(Message::Done(work(&on_hang)))));
    match receiver.recv() {
        Ok(Message::Done(result)) => Ok(result),
        Ok(Message::Hangs(hang)) => Err(hang),
        Err(_) => panic::resume_unwind(worker.join().expect_err("it sends what it has done")),
    }
}

/// The same for work with borrowed stores, whose threads cannot be left behind: `end` ends the
/// process.
pub(crate) fn within<T: Send + 'static>(
    work: impl FnOnce(&OnHang) -> T + Send,
    end: impl FnOnce(&Hang) -> Infallible,
) -> T {
    let (done, on_hang, receiver) = channel();
    thread::scope(|scope| {
        let worker = scope.spawn(move || drop(done.send(Message::Done(work(&on_hang)))));
        match receiver.recv() {
            Ok(Message::Done(result)) => result,
            Ok(Message::Hangs(hang)) => match end(&hang) {},
            Err(_) => panic::resume_unwind(worker.join().expect_err("it sends what it has done")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hang() -> Hang {
        Hang {
            subject: "store".to_owned(),
            crash: CrashKind::Power,
            seed: 1,
            violation: Violation::Mangled { position: 1 },
            saved: Ok(PathBuf::from("failure")),
        }
    }

    #[test]
    fn the_caller_learns_what_came_of_the_work() {
        assert_eq!(apart(|_| 7).expect("it does not hang"), 7);
        assert_eq!(within(|_| 7, |hang| panic!("{hang}")), 7);
    }

    #[test]
    fn the_caller_does_not_wait_for_a_store_that_hangs() {
        let outcome = apart(|on_hang: &OnHang| {
            on_hang(hang());
            loop {
                thread::park();
            }
        });
        let hang: Hang = match outcome {
            Ok(()) => panic!("it ends"),
            Err(hang) => hang,
        };
        assert!(hang.to_string().contains("saved in failure"), "{hang}");
    }

    #[test]
    #[should_panic(expected = "the work panics")]
    fn a_panic_of_the_work_is_the_callers() {
        drop(apart(|_| panic!("the work panics")));
    }
}
