//! What the completions of a group's requests mean.

use std::io;

use rustix::io::Errno;

use crate::log::Failure;

/// How often a request may be cancelled and begun again: by the end of the thread that handed it over, or
/// because the kernel cannot start a thread of its own for it, as at the limit of a cgroup. Then the ring is
/// no way for this group.
const CANCELLED_MAX: u32 = 3;

/// How far a group's write has come. What a completion means is decided here, and nowhere else.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) len: usize,
    pub(super) done: usize,
    /// Writes sync by themselves; else a sync follows the last one.
    pub(super) write_syncs: bool,
    pub(super) is_syncing: bool,
    cancelled: u32,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// There is more to ask for.
    Submit,
    Durable,
    Failed(Failure),
    /// Nothing has been begun: the group is to be written without the ring.
    Elsewhere,
}

impl Progress {
    /// A group of so many bytes, of which nothing is written yet.
    pub(super) fn new(len: usize, write_syncs: bool) -> Self {
        Self {
            len,
            done: 0,
            write_syncs,
            is_syncing: false,
            cancelled: 0,
        }
    }

    /// Takes note of a completion.
    pub(super) fn absorb(&mut self, result: i32) -> Verdict {
        let plain_write = !self.is_syncing && !self.write_syncs;
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            let cancelled = result == -Errno::CANCELED.raw_os_error();
            if cancelled {
                // The request never began, so no sync has failed. All of it is written again: nothing
                // is believed of what was.
                self.cancelled += 1;
                (self.done, self.is_syncing) = (0, false);
                return if self.cancelled < CANCELLED_MAX {
                    Verdict::Submit
                } else {
                    Verdict::Elsewhere
                };
            }
            return match error.kind() {
                io::ErrorKind::Interrupted if plain_write => Verdict::Submit,
                _ if plain_write => Verdict::Failed(Failure::Write(error)),
                _ => Verdict::Failed(Failure::Sync(error)),
            };
        }
        if self.is_syncing {
            return Verdict::Durable;
        }
        let written = usize::try_from(result).expect("not negative");
        self.done += written;
        match () {
            () if written == 0 => {
                let error = io::ErrorKind::WriteZero.into();
                Verdict::Failed(if plain_write {
                    Failure::Write(error)
                } else {
                    Failure::Sync(error)
                })
            }
            () if self.done < self.len => Verdict::Submit,
            () if self.write_syncs => Verdict::Durable,
            () => {
                self.is_syncing = true;
                Verdict::Submit
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CANCELLED_MAX, Progress, Verdict};
    use crate::log::Failure;

    const ECANCELED: i32 = -125;
    const EINTR: i32 = -4;
    const EIO: i32 = -5;

    fn progress(write_syncs: bool) -> Progress {
        Progress::new(8192, write_syncs)
    }

    /// What is asked for next: bytes to be written from an offset, or a sync.
    fn next(progress: &Progress) -> Option<usize> {
        (!progress.is_syncing).then_some(progress.done)
    }

    #[track_caller]
    fn goes_on(progress: &mut Progress, result: i32, then: Option<usize>) {
        let verdict = progress.absorb(result);
        assert!(matches!(verdict, Verdict::Submit), "{verdict:?}");
        assert_eq!(next(progress), then);
    }

    #[test]
    fn a_write_that_syncs_is_durable_when_all_of_it_is_written() {
        let mut whole = progress(true);
        assert!(matches!(whole.absorb(8192), Verdict::Durable));
        let mut short = progress(true);
        goes_on(&mut short, 4096, Some(4096));
        goes_on(&mut short, 512, Some(4608));
        assert!(matches!(short.absorb(8192 - 4608), Verdict::Durable));
    }

    #[test]
    fn a_sync_is_asked_for_when_all_of_it_is_written_and_not_before() {
        let mut plain = progress(false);
        goes_on(&mut plain, 4096, Some(4096));
        goes_on(&mut plain, 4096, None);
        assert!(matches!(plain.absorb(0), Verdict::Durable));
    }

    #[test]
    fn an_error_is_a_writes_only_where_no_sync_was_asked_for() {
        for result in [EIO, 0] {
            let failed = progress(false).absorb(result);
            assert!(matches!(failed, Verdict::Failed(Failure::Write(_))));
            let failed = progress(true).absorb(result);
            assert!(matches!(failed, Verdict::Failed(Failure::Sync(_))));
        }
        for error in [EIO, EINTR] {
            let mut plain = progress(false);
            goes_on(&mut plain, 8192, None);
            let failed = plain.absorb(error);
            assert!(matches!(failed, Verdict::Failed(Failure::Sync(_))));
        }
    }

    #[test]
    fn a_plain_write_that_was_interrupted_goes_on() {
        let mut plain = progress(false);
        goes_on(&mut plain, 4096, Some(4096));
        goes_on(&mut plain, EINTR, Some(4096));
        assert!(matches!(
            progress(true).absorb(EINTR),
            Verdict::Failed(Failure::Sync(_))
        ));
    }

    #[test]
    fn what_was_cancelled_with_its_thread_is_written_again_from_the_beginning() {
        for write_syncs in [false, true] {
            let mut progress = progress(write_syncs);
            goes_on(&mut progress, 4096, Some(4096));
            goes_on(&mut progress, ECANCELED, Some(0));
        }
        let mut syncing = progress(false);
        goes_on(&mut syncing, 8192, None);
        for _ in 1..CANCELLED_MAX {
            goes_on(&mut syncing, ECANCELED, Some(0));
        }
        // Not for ever.
        assert!(matches!(syncing.absorb(ECANCELED), Verdict::Elsewhere));
    }
}
