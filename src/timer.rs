//! The clock of the timed policies.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::group::Timer;
#[cfg(target_os = "linux")]
use crate::metrics::Stopwatch;

/// How far away a deadline is put that lies beyond what the clock can say.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 86_400);

/// When a group's time is up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timing {
    /// Never: groups do not wait.
    Untimed,
    /// So long after its first member joined.
    After(Duration),
    /// At the next tick of a clock that began at `origin`.
    Tick { origin: Instant, interval: Duration },
}

impl Timing {
    /// At the ticks of a clock that begins now.
    pub(crate) fn ticks(interval: Duration) -> Self {
        Self::Tick {
            origin: Instant::now(),
            interval,
        }
    }

    fn deadline(self) -> Instant {
        let now = Instant::now();
        let wait = match self {
            Self::Untimed => Duration::ZERO,
            Self::After(delay) => delay,
            Self::Tick { origin, interval } => {
                let into_tick = (now - origin).as_nanos() % interval.as_nanos();
                let left = interval.as_nanos() - into_tick;
                Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
            }
        };
        now.checked_add(wait).unwrap_or(now + FAR_AWAY)
    }
}

/// Whether Tokio's clock is paused here, as in tests with `start_paused`. Such a clock jumps to the next
/// timer as soon as its runtime has nothing to do, also while a request is in the ring; only a task on
/// the blocking pool holds it.
#[cfg(target_os = "linux")]
pub(crate) fn is_paused() -> bool {
    let before = Instant::now();
    if Instant::now() != before {
        return false;
    }
    // Two looks within one tick of the machine's clock.
    let watch = Stopwatch::start();
    while watch.elapsed().is_zero() {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

/// One member's timer. It costs nothing until the member becomes responsible for a group.
pub(crate) struct MemberTimer {
    timing: Timing,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl MemberTimer {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            timing,
            sleep: None,
        }
    }
}

impl Timer<Instant> for MemberTimer {
    fn deadline(&mut self) -> Instant {
        self.timing.deadline()
    }

    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = match &mut self.sleep {
            Some(sleep) if sleep.deadline() == deadline => sleep,
            sleep => sleep.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        sleep.as_mut().poll(cx)
    }
}
