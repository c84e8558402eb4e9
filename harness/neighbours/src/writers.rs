//! Several threads that write to one store.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use plugpull::{Action, SubjectError, Workload};

use crate::turns::{into_inner, lock};

/// More threads than this take turns on a machine with few cores, and only make a run slower.
const WRITERS_MAX: u32 = 8;

/// Carries out the actions of each writer on a thread of its own, until all are done or one fails.
/// `act` is given the writer's action, in the order of that writer.
///
/// # Errors
/// The first error of a writer. The others stop before their next action.
pub(crate) fn run(
    workload: &Workload,
    act: impl Fn(&Action) -> Result<(), SubjectError> + Sync,
) -> Result<(), SubjectError> {
    let failed = AtomicBool::new(false);
    let error = Mutex::new(None);
    let write = |writer| {
        for action in workload.actions(writer) {
            if let Some(pause) = action.pause {
                thread::sleep(pause);
            }
            if failed.load(Ordering::SeqCst) {
                return;
            }
            if let Err(reason) = act(&action) {
                failed.store(true, Ordering::SeqCst);
                lock(&error).get_or_insert(reason);
                return;
            }
        }
    };
    thread::scope(|scope| {
        for writer in 0..workload.writers.min(WRITERS_MAX) {
            let write = &write;
            scope.spawn(move || write(writer));
        }
    });
    into_inner(error).map_or(Ok(()), Err)
}
