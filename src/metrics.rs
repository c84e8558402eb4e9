//! Counters a user can read at any time, and the one place that reads the clock.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU64, Ordering};

/// Buckets of the sync time histogram: bucket `i` counts syncs of less than 2^i microseconds.
const BUCKETS: usize = 32;

/// What a log has done since it was opened. See [`Wal::metrics`](crate::Wal::metrics).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Write groups made durable, those without entries included. One write and one sync each.
    pub groups: u64,
    /// Entries made durable.
    pub entries: u64,
    /// Bytes written for them, headers and padding included.
    pub bytes: u64,
    /// How long the syncs took; of writes that sync by themselves, how long the writes did.
    pub sync_time: Histogram,
}

/// Durations in buckets that double: cheap to record, exact to a factor of two.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Histogram([u64; BUCKETS]);

impl Histogram {
    /// Number of durations recorded.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// An upper bound of the duration below which `percentile` percent of those recorded lie, at
    /// most twice the true value; zero if nothing was recorded.
    pub fn percentile(&self, percentile: f64) -> Duration {
        let mut left = (self.count() as f64 * (percentile / 100.0).clamp(0.0, 1.0)).ceil();
        for (duration, count) in self.buckets() {
            left -= count as f64;
            if left <= 0.0 && self.count() > 0 {
                return duration;
            }
        }
        Duration::ZERO
    }

    /// The buckets that are not empty: an exclusive upper bound, and how many durations lie below
    /// it and above the bucket before.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let bounds = (0..BUCKETS).map(|bucket| Duration::from_micros(1 << bucket));
        bounds
            .zip(self.0.iter().copied())
            .filter(|(_, count)| *count > 0)
    }
}

/// The live counters. Relaxed: each is exact, together they are a snapshot only when nothing is in
/// flight.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    groups: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    sync_time: [AtomicU64; BUCKETS],
}

impl Metrics {
    pub(crate) fn record_group(&self, entries: u32, bytes: u64, sync_time: Duration) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.entries
            .fetch_add(u64::from(entries), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let bucket = sync_time
            .as_micros()
            .checked_ilog2()
            .map_or(0, |log| log as usize + 1);
        self.sync_time[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            groups: self.groups.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            sync_time: Histogram(std::array::from_fn(|bucket| {
                self.sync_time[bucket].load(Ordering::Relaxed)
            })),
        }
    }
}

/// Measures how long something takes.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the one home of the clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
