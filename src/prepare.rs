//! Segments made ready before they are needed.
//!
//! Filling a new file takes as long as thousands of groups, so the next segment is made ready while
//! the one in use fills up: in *pieces* of one I/O each, on whatever thread or executor runs the
//! log's blocking work. Between two pieces nothing is running: a runtime that shuts down, or a log
//! that is closed, waits for one piece at most, and whoever needs the segment first takes over
//! where the last piece ended. When the segment is there, rotation does no I/O at all.
//!
//! A segment that is ready has its final name and no frame. Recovery finds it so and keeps it ready.

use std::collections::VecDeque;

use crate::directory::{Files, PrepareError};
use crate::error::{Error, Result};
use crate::segment::{Segment, SegmentHeader};
use crate::spare::Spare;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, lock};

/// A segment in the making, under a spare name.
pub(crate) struct Unfinished {
    header: SegmentHeader,
    spare: Spare,
    /// Bytes from the front that have been written once.
    filled: u64,
    /// The header is on it, and all of it is durable.
    is_durable: bool,
}

impl Unfinished {
    pub(crate) fn begin(files: &Files, header: SegmentHeader) -> Result<Self, PrepareError> {
        let (spare, filled) = files
            .take_spare(header.segment_bytes)
            .map_err(PrepareError::Unchanged)?;
        Ok(Self {
            header,
            spare,
            filled,
            is_durable: false,
        })
    }

    /// Does all that is left. After an error the file is gone.
    pub(crate) fn complete(mut self, files: &Files) -> Result<Segment, PrepareError> {
        while !self.is_durable {
            self.advance()
                .inspect_err(|_| files.discard(&self.spare))
                .map_err(PrepareError::Unchanged)?;
        }
        self.name(files)
    }

    /// Does the next piece of I/O that changes no name: fills some more, or writes the header and
    /// syncs.
    fn advance(&mut self) -> Result<()> {
        if self.filled < self.header.segment_bytes {
            self.filled = self.spare.fill(self.filled, self.header.segment_bytes)?;
        } else {
            self.spare.initialise(&self.header)?;
            self.is_durable = true;
        }
        Ok(())
    }

    /// Gives it its final name and makes that durable.
    fn name(self, files: &Files) -> Result<Segment, PrepareError> {
        debug_assert!(self.is_durable);
        files.name(self.spare, self.header)
    }
}

/// The segments that are ready, and the one that is being made so.
pub(crate) struct Preparation {
    files: Arc<Files>,
    state: Mutex<State>,
    /// A piece is over.
    paused: Condvar,
}

struct State {
    /// The segment that is taken next. A piece that comes too late finds another number here.
    next_id: u64,
    /// Durable and empty, lowest id first.
    ready: VecDeque<Arc<Segment>>,
    work: Work,
    /// Number of the next run of work: tells one from those after it.
    next_run: u64,
    /// It failed, and is left to whoever needs the segment.
    has_failed: bool,
    /// A name was given of which nobody knows whether it is durable.
    unknown: Option<Error>,
}

enum Work {
    Nothing,
    /// Between two pieces.
    Paused(Unfinished),
    /// The run with this number.
    Running(u64),
}

impl Preparation {
    /// `ready` follow the segment in use, whose id is the one before `next_id`.
    pub(crate) fn new(files: Arc<Files>, next_id: u64, ready: Vec<Arc<Segment>>) -> Self {
        let state = State {
            next_id,
            ready: ready.into(),
            work: Work::Nothing,
            next_run: 0,
            has_failed: false,
            unknown: None,
        };
        Self {
            files,
            state: Mutex::new(state),
            paused: Condvar::new(),
        }
    }

    /// The first segment that is ready.
    pub(crate) fn ready(&self) -> Option<Arc<Segment>> {
        lock(&self.state).ready.front().cloned()
    }

    /// The first piece of making the next segment ready, unless one is. `plan` is its header, but
    /// for the salt, which is drawn.
    pub(crate) fn piece(self: &Arc<Self>, plan: SegmentHeader) -> Option<Piece> {
        let state = lock(&self.state);
        let wanted = state.ready.is_empty() && !state.has_failed && state.unknown.is_none();
        wanted.then(|| Piece {
            preparation: Arc::downgrade(self),
            plan,
        })
    }

    /// The next segment: one that is ready, or one made so now.
    ///
    /// # Errors
    /// Also if a name was given in the background and may not be durable.
    pub(crate) fn take(&self, plan: SegmentHeader) -> Result<Arc<Segment>, PrepareError> {
        let mut state = lock(&self.state);
        // One piece at most.
        while matches!(state.work, Work::Running(_)) {
            let waited = self.paused.wait(state);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if let Some(error) = &state.unknown {
            return Err(PrepareError::NameUnknown(error.clone()));
        }
        state.has_failed = false;
        debug_assert_eq!(state.next_id, plan.segment_id);
        if let Some(segment) = state.ready.pop_front() {
            state.next_id += 1;
            return Ok(segment);
        }
        let (begun, _running) = self.resume(state);
        let is_resumed = begun.is_some();
        let unfinished = match begun {
            Some(unfinished) => unfinished,
            None => self.begin(plan)?,
        };
        debug_assert_eq!(unfinished.header.segment_id, plan.segment_id);
        let segment = match unfinished.complete(&self.files) {
            // It was begun before a trim kept a file, which has all the space that is needed.
            Err(PrepareError::Unchanged(error)) if is_resumed && error.is_disk_full() => {
                self.begin(plan)?.complete(&self.files)?
            }
            completed => completed?,
        };
        lock(&self.state).next_id += 1;
        Ok(Arc::new(segment))
    }

    /// Takes over what is paused.
    fn resume(&self, mut state: MutexGuard<State>) -> (Option<Unfinished>, Running<'_>) {
        let run = state.next_run;
        state.next_run += 1;
        let running = Running {
            preparation: self,
            run,
        };
        match std::mem::replace(&mut state.work, Work::Running(run)) {
            Work::Paused(unfinished) => (Some(unfinished), running),
            Work::Nothing | Work::Running(_) => (None, running),
        }
    }

    fn begin(&self, plan: SegmentHeader) -> Result<Unfinished, PrepareError> {
        let salt = self.files.random().map_err(PrepareError::Unchanged)?;
        let header = SegmentHeader {
            salt: u64::from_le_bytes(salt),
            ..plan
        };
        Unfinished::begin(&self.files, header)
    }

    /// Does one piece. Tells whether there is another.
    fn advance(&self, plan: SegmentHeader) -> bool {
        let state = lock(&self.state);
        let is_late = state.next_id != plan.segment_id || !state.ready.is_empty();
        if is_late || matches!(state.work, Work::Running(_)) {
            // Whoever needed the segment did not wait for this piece.
            return false;
        }
        let (begun, running) = self.resume(state);
        // `None` if the directory is not ours any more: what there is of the file is removed by the
        // next owner.
        let outcome = match begun {
            None => self
                .files
                .while_owned(|| self.begin(plan).map(Outcome::Paused)),
            Some(unfinished) if unfinished.is_durable => self
                .files
                .while_owned(|| unfinished.name(&self.files).map(Outcome::Ready)),
            Some(mut unfinished) => self.files.is_owned().then(|| match unfinished.advance() {
                Ok(()) => Ok(Outcome::Paused(unfinished)),
                Err(error) => {
                    let spare = &unfinished.spare;
                    self.files.while_owned(|| self.files.discard(spare));
                    Err(PrepareError::Unchanged(error))
                }
            }),
        };
        let Some(outcome) = outcome else { return false };
        let mut state = lock(&self.state);
        let more = matches!(outcome, Ok(Outcome::Paused(_)));
        match outcome {
            Ok(Outcome::Paused(unfinished)) => state.work = Work::Paused(unfinished),
            Ok(Outcome::Ready(segment)) => {
                tracing::debug!(segment_id = segment.id(), "a segment is ready");
                state.ready.push_back(Arc::new(segment));
            }
            Err(PrepareError::Unchanged(error)) => {
                tracing::debug!(%error, "the next segment cannot be made ready yet");
                state.has_failed = true;
            }
            Err(PrepareError::NameUnknown(error)) => {
                tracing::warn!(%error, "the next segment's name may not be durable");
                state.unknown = Some(error);
            }
        }
        drop(state);
        drop(running);
        more
    }
}

/// What a piece came to.
enum Outcome {
    Paused(Unfinished),
    Ready(Segment),
}

/// Says that this run is over, whatever happens. Another one may have taken over what it left:
///
/// ```text
/// piece                             rotation
/// leaves the segment paused
///                                   takes it over, run 2 is running
/// drops run 1: nothing to do
///                                   names the segment
/// ```
///
/// Without the number the piece would end run 2, and the next piece would begin the same segment anew and
/// name it over the one in use, with the entries that were acknowledged in it.
struct Running<'a> {
    preparation: &'a Preparation,
    run: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.preparation.state);
        if matches!(state.work, Work::Running(run) if run == self.run) {
            state.work = Work::Nothing;
        }
        drop(state);
        self.preparation.paused.notify_all();
    }
}

/// A piece of work for whoever runs the log's blocking work. Dropped unrun, it leaves things as they
/// are; kept, it keeps no file open.
pub(crate) struct Piece {
    preparation: Weak<Preparation>,
    plan: SegmentHeader,
}

impl Piece {
    /// Does it. Returns the next one, if there is more to do.
    pub(crate) fn run(self) -> Option<Self> {
        let preparation = self.preparation.upgrade()?;
        preparation.advance(self.plan).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;
    use crate::storage::{OsStorage, Storage};

    /// Two files were made for one segment, and the second was renamed over the first, which had
    /// acknowledged entries in it.
    #[test]
    fn a_run_of_work_that_is_over_ends_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Arc::new(OsStorage);
        let opened = storage.open_dir(dir.path()).unwrap();
        let directory = Directory::open(storage, opened, 0).unwrap();
        let preparation = Preparation::new(Arc::clone(directory.files()), 1, Vec::new());
        let work = || lock(&preparation.state);
        let (_, first) = preparation.resume(work());
        // As a piece does that leaves the segment to the next one.
        work().work = Work::Nothing;
        let (_, second) = preparation.resume(work());
        drop(first);
        assert!(
            matches!(work().work, Work::Running(_)),
            "the second run goes on"
        );
        drop(second);
        assert!(matches!(work().work, Work::Nothing));
    }
}
