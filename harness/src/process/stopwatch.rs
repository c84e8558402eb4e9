//! The time in which this process looked.

use std::time::{Duration, Instant};

/// The most that one look adds. A look that comes later than this was late: the harness was stopped, or
/// the machine was suspended or too busy, and what is watched may have been so as well.
const STEP_MAX: Duration = Duration::from_millis(100);

/// Counts the time that passes, as far as it is looked at.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    looked: Instant,
    counted: Duration,
    step_max: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            looked: Instant::now(),
            counted: Duration::ZERO,
            step_max: STEP_MAX,
        }
    }

    /// For looks that are further apart than usual.
    pub(crate) fn looking_every(self, interval: Duration) -> Self {
        Self {
            step_max: STEP_MAX.max(2 * interval),
            ..self
        }
    }

    /// Looks. Returns what has been counted since the start.
    pub(crate) fn look(&mut self) -> Duration {
        self.look_at(Instant::now())
    }

    fn look_at(&mut self, now: Instant) -> Duration {
        let step = now.saturating_duration_since(self.looked);
        self.looked = now;
        self.counted += step.min(self.step_max);
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_comes_late_adds_a_small_step() {
        let mut watch = Stopwatch::start();
        let began = watch.looked;
        let at = |ms| began + Duration::from_millis(ms);
        assert_eq!(watch.look_at(at(5)), Duration::from_millis(5));
        let hour = 3_600_000;
        assert_eq!(watch.look_at(at(hour)), Duration::from_millis(105));
        assert_eq!(watch.look_at(at(hour + 7)), Duration::from_millis(112));
    }
}
