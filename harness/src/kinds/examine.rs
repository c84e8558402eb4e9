//! A store's directory examined: recovered, and its survivors shown to the oracle.

use std::io;
use std::path::Path;

use super::contract::{Replayed, Saved, Verdict};
use crate::history::Event;
use crate::oracle::{Stage, Violation};
use crate::scratch::copy_dir;
use crate::store::{Recovered, Store, run};
use crate::survivor::Survivor;

/// Recovers once more; the same must come of it.
pub(super) fn recover_again(
    store: &mut dyn Store,
    dir: &Path,
    first: &[Survivor],
) -> io::Result<Verdict> {
    let again = store.recover(dir, false)?;
    Ok(compare(first, again))
}

/// Compares what a second recovery showed with what the first one had shown, which may have closed the store.
pub(super) fn compare(first: &[Survivor], again: Recovered) -> Verdict {
    match again {
        Ok(again) => {
            let (first, was_closed) = Survivor::entries(first);
            let (again, is_closed) = Survivor::entries(&again);
            let detail = if first != again {
                format!(
                    "{} entries first, {} the second time",
                    first.len(),
                    again.len()
                )
            } else if was_closed && !is_closed {
                "it was found closed first, and not the second time".to_owned()
            } else {
                return Ok(());
            };
            Err(Violation::NotIdempotent { detail })
        }
        Err(Violation::Broken {
            stage: Stage::RecoveryFailed,
            detail,
        }) => Err(Violation::Broken {
            stage: Stage::SecondRecoveryFailed,
            detail,
        }),
        Err(violation) => Err(violation),
    }
}

/// The verdict on what a recovery showed.
pub(super) fn verdict(store: &dyn Store, events: &[Event], recovered: &Recovered) -> Verdict {
    match recovered {
        Ok(survivors) => store.check(events, survivors),
        Err(violation) => Err(violation.clone()),
    }
}

/// Looks at a failure again by its image: recovers a copy and asks the oracle. If it was the writer
/// that failed, lets it write once more.
pub(super) fn replay_image(saved: Saved<'_>) -> io::Result<Replayed> {
    let dir = saved.scratch.join("replay");
    copy_dir(&saved.finding.image, &dir)?;
    let mut store = saved.tested.resumed(saved.finding, saved.plan)?;
    let wrote = saved.finding.violation.is_writers();
    let verdict = if wrote {
        write_again(&mut *store, &dir)?
    } else {
        check(&mut *store, &dir, &saved.finding.events)?
    };
    let note = "The writer wrote once more in a copy of the image, which was not recovered.";
    Ok(Replayed {
        verdict: verdict.map_err(|violation| violation.without_dir(&dir)),
        note: wrote.then(|| note.to_owned()),
    })
}

fn write_again(store: &mut dyn Store, dir: &Path) -> io::Result<Verdict> {
    let assignment = store.writer_again(dir)?;
    let (launcher, limit) = store.launching();
    let watched = run(&assignment, launcher, limit, || 0)?;
    let failed = store.written(&watched)?.failed;
    Ok(failed.map_or(Ok(()), Err))
}

fn check(store: &mut dyn Store, dir: &Path, events: &[Event]) -> io::Result<Verdict> {
    let survivors = match store.recover_apart(dir, false)? {
        Ok(survivors) => survivors,
        Err(violation) => return Ok(Err(violation)),
    };
    match store.check(events, &survivors) {
        Ok(()) => recover_again(store, dir, &survivors),
        broken => Ok(broken),
    }
}
