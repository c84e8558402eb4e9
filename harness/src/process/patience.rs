//! Whether a process has had a limit of time of its own.
//!
//! A verdict from wall time alone would blame a store for a harness that was stopped, a machine that was
//! suspended, and a neighbour that takes all CPUs. So what counts is the time in which the process
//! could have gone on:
//!
//! | what happens | counts |
//! |---|---|
//! | the harness looks late: it was stopped, or had no CPU | a small step for each look |
//! | the harness works while the process waits for it | no |
//! | a task is ready and waits for a CPU | no, but what other tasks have had of the CPU |
//! | a task waits for the disk, in uninterruptible sleep | no, up to a bound |
//! | the process was stopped by a signal | no, up to a bound |
//! | all tasks sleep, or one is busy | yes |
//!
//! `/proc` is read only when half of the limit has gone by.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::procfs::{Tasks, own_thread, sleeps_in, tasks_below};
use super::stopwatch::Stopwatch;

/// A process that waits for the disk is excused for this many times its limit.
const DISK_LIMITS: u32 = 8;
/// The same of one that was stopped by a signal.
const STOPPED_LIMITS: u32 = 4;
/// A process that has not had its limit in this many times the limit runs on a machine that is too busy
/// to judge it.
const WAITED_LIMITS: u32 = 100;
/// Tasks that a message tells of.
const TASKS_TOLD: usize = 8;

/// The time that the harness itself spends while a process waits for it.
#[derive(Clone, Debug)]
pub(crate) struct HarnessTime(Arc<Spent>);

#[derive(Debug)]
struct Spent {
    origin: Instant,
    nanos: AtomicU64,
    /// When what the harness does now began, in nanoseconds after the origin; 0 if it does nothing.
    since: AtomicU64,
}

impl HarnessTime {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Spent {
            origin: Instant::now(),
            nanos: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }))
    }

    fn now(&self) -> u64 {
        // Never 0.
        u64::try_from(self.0.origin.elapsed().as_nanos()).map_or(u64::MAX, |nanos| nanos + 1)
    }

    /// Does work for which the process waits. From one thread at a time.
    pub(crate) fn spend<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = self.now();
        self.0.since.store(began, Ordering::Relaxed);
        let done = work();
        let took = self.now().saturating_sub(began);
        self.0.nanos.fetch_add(took, Ordering::Relaxed);
        self.0.since.store(0, Ordering::Relaxed);
        done
    }

    fn spent(&self) -> Duration {
        let since = self.0.since.load(Ordering::Relaxed);
        let current = match since {
            0 => 0,
            since => self.now().saturating_sub(since),
        };
        Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed) + current)
    }
}

/// Whose time is counted.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// A process and all that it starts.
    Process(Pid),
    /// A thread of this process.
    Thread(Pid),
}

impl Of {
    fn tasks(self) -> Tasks {
        match self {
            Self::Process(root) => tasks_below(root),
            Self::Thread(thread) => own_thread(thread),
        }
    }
}

/// Gives a process a limit of time of its own.
#[derive(Debug)]
pub(crate) struct Patience {
    of: Of,
    limit: Duration,
    began: Instant,
    /// What had been counted when its time began.
    began_counted: Duration,
    wall: Stopwatch,
    harness: Option<HarnessTime>,
    /// What had been counted, and spent by the harness, at the last look.
    counted: Duration,
    spent: Duration,
    /// The time of its own.
    own: Duration,
    /// Not judged yet: since the last sample.
    pending: Duration,
    sample: Option<Tasks>,
    disk: Duration,
    stopped: Duration,
    /// The limit was reached at an earlier look.
    is_due: bool,
}

impl Patience {
    /// For a process and all that it starts.
    pub(crate) fn with_process(process: Pid, limit: Duration) -> Self {
        Self::new(Of::Process(process), limit)
    }

    /// For a thread of this process.
    pub(crate) fn with_thread(thread: Pid, limit: Duration) -> Self {
        Self::new(Of::Thread(thread), limit)
    }

    fn new(of: Of, limit: Duration) -> Self {
        Self {
            of,
            limit,
            began: Instant::now(),
            began_counted: Duration::ZERO,
            wall: Stopwatch::start(),
            harness: None,
            counted: Duration::ZERO,
            spent: Duration::ZERO,
            own: Duration::ZERO,
            pending: Duration::ZERO,
            sample: None,
            disk: Duration::ZERO,
            stopped: Duration::ZERO,
            is_due: false,
        }
    }

    /// What the harness spends does not count.
    pub(crate) fn without(self, harness: &HarnessTime) -> Self {
        Self {
            spent: harness.spent(),
            harness: Some(harness.clone()),
            ..self
        }
    }

    /// For looks that are further apart than usual.
    pub(crate) fn looking_every(self, interval: Duration) -> Self {
        Self {
            wall: self.wall.looking_every(interval),
            ..self
        }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether less than half of its time has gone by since it began.
    pub(crate) fn is_young(&self) -> bool {
        self.sample.is_none()
    }

    /// There was a sign of life: its time begins again.
    pub(crate) fn begin_again(&mut self) {
        self.counted = self.wall.look();
        self.spent = self.spent_by_harness();
        self.began = Instant::now();
        self.began_counted = self.counted;
        self.own = Duration::ZERO;
        self.pending = Duration::ZERO;
        self.sample = None;
        self.disk = Duration::ZERO;
        self.stopped = Duration::ZERO;
        self.is_due = false;
    }

    fn spent_by_harness(&self) -> Duration {
        let harness = self.harness.as_ref();
        harness.map_or(Duration::ZERO, HarnessTime::spent)
    }

    /// Between two samples.
    fn interval(&self) -> Duration {
        (self.limit / 32).clamp(Duration::from_millis(10), Duration::from_millis(500))
    }

    /// Looks. When the limit is used up, and once more a little later, returns what the process was seen to do. The
    /// caller looks for signs of life and for the end each time before.
    ///
    /// # Errors
    /// If the process had no time for so long that it cannot be judged here.
    pub(crate) fn look(&mut self) -> io::Result<Option<String>> {
        let counted = self.wall.look();
        let spent = self.spent_by_harness();
        let passed = counted.saturating_sub(self.counted);
        let step = passed.saturating_sub(spent.saturating_sub(self.spent));
        (self.counted, self.spent) = (counted, spent);
        if self.sample.is_none() {
            self.own += step;
            if 2 * self.own >= self.limit {
                self.sample = Some(self.of.tasks());
            }
            return Ok(None);
        }
        self.pending += step;
        if self.pending < self.interval() {
            return Ok(None);
        }
        let now = self.of.tasks();
        let passed = std::mem::take(&mut self.pending);
        let before = self.sample.replace(now.clone()).unwrap_or_default();
        let part = Part::of(&before, &now, passed);
        let own = self.allowed(&part, passed);
        self.own += own;
        if self.own < self.limit {
            return self.is_hopeless();
        }
        // Once more, after the same interval: what was about to end has ended then.
        if !self.is_due {
            self.is_due = true;
            return Ok(None);
        }
        Ok(Some(self.told(&now)))
    }

    /// How much of a part is the process's own.
    fn allowed(&mut self, part: &Part, passed: Duration) -> Duration {
        let (excused, bound) = match part.halted {
            Some(Halted::ByDisk) => (&mut self.disk, DISK_LIMITS * self.limit),
            Some(Halted::BySignal) => (&mut self.stopped, STOPPED_LIMITS * self.limit),
            None => return part.own,
        };
        if *excused >= bound {
            return part.own;
        }
        let own = part.cpu.min(passed);
        *excused += passed.saturating_sub(own);
        own
    }

    fn is_hopeless(&self) -> io::Result<Option<String>> {
        let counted = self.counted.saturating_sub(self.began_counted);
        if counted < WAITED_LIMITS * self.limit {
            return Ok(None);
        }
        let reason = format!(
            "a process has had only {:.1?} of the {:?} that it may take in {:.0?}: this machine is too busy to \
             judge it; use fewer --jobs, or a longer --hang-limit",
            self.own,
            self.limit,
            self.began.elapsed()
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    }

    /// What is known of a process that hangs, for a maintainer.
    fn told(&self, tasks: &Tasks) -> String {
        let cpu: Duration = tasks.values().map(|task| task.cpu).sum();
        let delay: Duration = tasks.values().map(|task| task.delay).sum();
        let mut told = format!(
            "it had {:.1?} of its own in {:.1?} by the clock; {cpu:.2?} on a CPU and {delay:.2?} in wait for one \
             since its start",
            self.own,
            self.began.elapsed()
        );
        let told_tasks = tasks.iter().filter(|(_, task)| task.state != 'Z');
        for (id, task) in told_tasks.take(TASKS_TOLD) {
            let doing = match task.state {
                'R' => "runs".to_owned(),
                'T' => "was stopped by a signal".to_owned(),
                't' => "is held by the tracer".to_owned(),
                state => {
                    let how = if state == 'D' {
                        "waits for the disk"
                    } else {
                        "sleeps"
                    };
                    let place = sleeps_in(*id).map(|place| format!(" in {place}"));
                    format!("{how}{}", place.unwrap_or_default())
                }
            };
            write!(told, "\ntask {id} {doing}").expect("a string takes everything");
        }
        told
    }
}

/// What kept a process from going on, other than a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halted {
    ByDisk,
    BySignal,
}

/// What a process did between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// The time that was its own, by CPUs.
    own: Duration,
    /// The time that it had of CPUs.
    cpu: Duration,
    halted: Option<Halted>,
}

impl Part {
    fn of(before: &Tasks, now: &Tasks, passed: Duration) -> Self {
        let mut all_cpu = Duration::ZERO;
        let mut waited = Duration::ZERO;
        for (id, task) in now {
            let known = before.get(id);
            let cpu = task
                .cpu
                .saturating_sub(known.map_or(Duration::ZERO, |task| task.cpu));
            let delay = task
                .delay
                .saturating_sub(known.map_or(Duration::ZERO, |task| task.delay));
            all_cpu += cpu;
            // The kernel adds the delay when a task gets its CPU: one that has had none since waits still.
            let waits = match task.state {
                'R' => passed.saturating_sub(cpu),
                _ => Duration::ZERO,
            };
            waited = waited.max(delay).max(waits);
        }
        let cpu = all_cpu.min(passed);
        let alive = || now.values().filter(|task| !matches!(task.state, 'Z' | 'X'));
        let halted = if alive().any(|task| task.state == 'D') {
            Some(Halted::ByDisk)
        } else if alive().any(|task| task.state == 'T')
            // All of them wait for the tracer, or were stopped under its eyes.
            || alive().next().is_some() && alive().all(|task| task.state == 't')
        {
            Some(Halted::BySignal)
        } else {
            None
        };
        Self {
            // Many tasks on few CPUs wait for one another: what they have had together counts.
            own: cpu.max(passed.saturating_sub(waited)),
            cpu,
            halted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::procfs::Task;
    use super::*;

    const PASSED: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One task each, by state, time on a CPU, and delay.
    fn part(before: &[(char, u64, u64)], now: &[(char, u64, u64)]) -> Part {
        let tasks = |of: &[(char, u64, u64)]| {
            let tasks = of.iter().map(|(state, cpu, delay)| Task {
                state: *state,
                cpu: ms(*cpu),
                delay: ms(*delay),
            });
            (1..).zip(tasks).collect()
        };
        Part::of(&tasks(before), &tasks(now), PASSED)
    }

    #[test]
    fn a_deadlock_and_a_busy_loop_use_their_time() {
        let asleep = part(&[('S', 5, 1), ('S', 7, 0)], &[('S', 5, 1), ('S', 7, 0)]);
        assert_eq!((asleep.own, asleep.halted), (PASSED, None));
        let busy = part(&[('R', 5, 1)], &[('R', 105, 1)]);
        assert_eq!((busy.own, busy.halted), (PASSED, None));
        // Eight on two CPUs.
        let before = [('R', 0, 0); 8];
        let now = [('R', 25, 75); 8];
        assert_eq!(part(&before, &now).own, PASSED);
        // `/proc` says nothing.
        assert_eq!(part(&[], &[]).own, PASSED);
    }

    #[test]
    fn what_waits_for_a_cpu_has_no_time_of_its_own() {
        assert_eq!(part(&[('R', 5, 1)], &[('R', 5, 1)]).own, ms(0));
        assert_eq!(part(&[('R', 5, 1)], &[('R', 15, 91)]).own, ms(10));
        // Another waits for it.
        let pair = part(&[('S', 1, 1), ('R', 5, 1)], &[('S', 1, 1), ('R', 5, 1)]);
        assert_eq!(pair.own, ms(0));
        // It slept for most of the time.
        assert_eq!(part(&[('S', 5, 1)], &[('S', 6, 11)]).own, ms(90));
    }

    #[test]
    fn the_disk_and_a_signal_halt_a_process_for_a_while() {
        let disk = part(&[('S', 0, 0), ('D', 0, 0)], &[('S', 0, 0), ('D', 0, 0)]);
        assert_eq!(disk.halted, Some(Halted::ByDisk));
        let stopped = part(&[('T', 0, 0)], &[('T', 0, 0)]);
        assert_eq!(stopped.halted, Some(Halted::BySignal));
        let traced = part(&[('t', 0, 0)], &[('t', 0, 0)]);
        assert_eq!(traced.halted, Some(Halted::BySignal));
        let held = part(&[('t', 0, 0), ('S', 0, 0)], &[('t', 0, 0), ('S', 0, 0)]);
        assert_eq!(held.halted, None, "one call is in flight, and it hangs");

        let mut patience = Patience::with_process(Pid::this(), PASSED);
        let bound = DISK_LIMITS as usize;
        let allowed: Vec<_> = (0..=bound)
            .map(|_| patience.allowed(&disk, PASSED))
            .collect();
        assert_eq!(allowed[..bound], vec![ms(0); bound]);
        assert_eq!(allowed[bound], PASSED);
    }

    #[test]
    fn the_time_of_the_harness_is_told_while_it_is_spent() {
        let time = HarnessTime::new();
        assert_eq!(time.spent(), Duration::ZERO);
        time.spend(|| while time.spent().is_zero() {});
        let spent = time.spent();
        assert!(!spent.is_zero());
        assert_eq!(time.spent(), spent, "it does not go on");
    }
}
