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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use plugpull::workload::Style;

    use super::*;

    #[test]
    fn the_first_error_stops_all_writers() {
        let workload = Workload {
            seed: 1,
            generation: 0,
            writers: 4,
            // Without an end: only the error ends it.
            actions_max: None,
            style: Style::Steady,
            payload_bytes_max: 16,
            trim_every: None,
            replays: false,
            refuse_every: 20,
            small_files: true,
        };
        let acts = AtomicU32::new(0);
        let ended = run(&workload, |_| match acts.fetch_add(1, Ordering::SeqCst) {
            100 => Err("the store failed".into()),
            _ => Ok(()),
        });
        assert_eq!(ended.expect_err("an error").to_string(), "the store failed");
    }
}
