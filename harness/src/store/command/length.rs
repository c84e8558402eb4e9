//! How long the writers of a program live. Programs differ by orders of magnitude: what ends before it has
//! acknowledged anything gets more.

use std::ops::Range;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::lifespan::Lifespan;

/// From its first word on, a writer lives no longer than this.
const LIFE_MAX: Duration = Duration::from_millis(250);
/// The same under trace, where each call takes longer, and the number of calls ends the life of most.
const TRACED_LIFE_MAX: Duration = Duration::from_secs(10);
/// Calls of a traced run, from its first word on.
const CALLS: Range<u64> = 24..72;
/// Lines of a writer on a recorded device.
const LINES: Range<u64> = 4..64;
/// A writer gets no more than so many times as much.
const SCALE_MAX: u32 = 64;

/// What is asked for, and what the lives so far have taught.
pub(super) struct Length {
    asked: Lifespan,
    scale: u32,
}

impl Length {
    pub(super) fn new(asked: Lifespan) -> Self {
        Self { asked, scale: 1 }
    }

    pub(super) fn life(&self) -> Duration {
        self.asked.life.unwrap_or(LIFE_MAX * self.scale)
    }

    /// Calls end a traced life; one that is asked for may be longer.
    pub(super) fn traced_life(&self) -> Duration {
        let measured = TRACED_LIFE_MAX.max(LIFE_MAX * self.scale);
        self.asked.life.unwrap_or(measured)
    }

    pub(super) fn calls(&self, rng: &mut ChaCha8Rng) -> u64 {
        match self.asked.calls {
            Some(max) => rng.random_range(max.div_ceil(3)..=max.max(1)),
            None => rng.random_range(CALLS) * u64::from(self.scale),
        }
    }

    pub(super) fn lines_on_device(&self, rng: &mut ChaCha8Rng) -> u64 {
        self.lines(rng.random_range(LINES) * u64::from(self.scale))
    }

    pub(super) fn lines(&self, drawn: u64) -> u64 {
        self.asked.lines(drawn)
    }

    /// A writer that said something has been ended. Those that follow get more if it was ended too early.
    pub(super) fn learn(&mut self, has_acknowledged: bool) {
        if !has_acknowledged {
            self.scale = (self.scale * 2).min(SCALE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::stream;

    #[test]
    fn a_writer_that_acknowledges_nothing_gets_more() {
        let mut length = Length::new(Lifespan::default());
        let calls = |length: &Length| length.calls(&mut stream(1, 0));
        let (life, first) = (length.life(), calls(&length));
        length.learn(true);
        assert_eq!((length.life(), calls(&length)), (life, first));
        length.learn(false);
        assert_eq!((length.life(), calls(&length)), (2 * life, 2 * first));
        (0..100).for_each(|_| length.learn(false));
        assert_eq!(length.life(), SCALE_MAX * life);
    }

    #[test]
    fn what_is_asked_for_counts() {
        let length = Length::new(Lifespan {
            life: Some(Duration::from_secs(60)),
            lines: Some(3),
            calls: Some(1),
            after_ack: false,
        });
        let mut rng = stream(1, 0);
        assert_eq!(length.calls(&mut rng), 1);
        assert_eq!(length.lines_on_device(&mut rng), 3);
        assert_eq!(length.life(), length.traced_life());
    }
}
