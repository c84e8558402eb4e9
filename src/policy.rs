//! When groups go: the policies, and all that is decided by them.

use std::time::Duration;

use crate::group::Pace;
use crate::timer::Timing;

/// The longest time between two ticks.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// When a write group is written and synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// One sync an append: every append is a group of its own (the article's *sync-on-write*).
    EveryWrite,
    /// Appends wait for the next tick of a clock (the article's *sync-background*, 100 ms there).
    ///
    /// There is no background thread: the first live append of a group waits for the tick and
    /// leads.
    Background {
        /// Time between ticks; at most a day.
        interval: Duration,
    },
    /// The member that fills the group leads it; on timeout its first live follower does (the article's
    /// *sync-on-batch*: 941 members, 10 ms).
    Batch {
        /// Entries in a full group, the leader's own included.
        max_entries: u32,
        /// How long a group may wait to be filled. With `Duration::MAX` it waits until it is full.
        max_delay: Duration,
    },
    /// No timer: the first append to find no flush in flight leads at once, and all that arrive
    /// during a flush form the next group. The batch size follows from the load.
    #[default]
    Adaptive,
}

impl SyncPolicy {
    /// Why a log cannot follow it, if it cannot.
    pub(crate) fn refusal(self) -> Option<String> {
        match self {
            Self::Batch { max_entries: 0, .. } => {
                Some("a batch of max_entries 0 never fills".into())
            }
            Self::Background { interval } if interval.is_zero() || interval > INTERVAL_MAX => {
                Some(format!(
                    "a background interval of {interval:?}: appends wait for it, so it must be above zero and \
                     at most {INTERVAL_MAX:?}"
                ))
            }
            _ => None,
        }
    }

    /// When a group is due, apart from being full.
    pub(crate) fn pace(self) -> Pace {
        match self {
            Self::EveryWrite | Self::Adaptive => Pace::Eager,
            Self::Background { .. } | Self::Batch { .. } => Pace::Timed,
        }
    }

    /// Most entries in a group, of the `entries_max` that the log allows.
    pub(crate) fn group_entries(self, entries_max: u32) -> u32 {
        match self {
            Self::EveryWrite => 1,
            Self::Adaptive | Self::Background { .. } => entries_max,
            Self::Batch { max_entries, .. } => max_entries.min(entries_max),
        }
    }

    /// When a group's time is up. A clock that ticks begins now.
    pub(crate) fn timing(self) -> Timing {
        match self {
            Self::EveryWrite | Self::Adaptive => Timing::Untimed,
            Self::Batch { max_delay, .. } => Timing::After(max_delay),
            Self::Background { interval } => Timing::ticks(interval),
        }
    }
}
