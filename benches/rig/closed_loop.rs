//! A closed loop: so many writers, each of which appends again as soon as it has its acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::figures::{median, quantile};
use super::machine::processor_time;
use super::report::Row;
use super::workload::{Document, Store, now};

/// What one contestant's turns have brought.
#[derive(Default)]
pub(crate) struct Turns {
    /// Of all turns, in nanoseconds.
    latencies: Vec<u64>,
    /// Appends a second, turn by turn.
    rates: Vec<f64>,
    /// Processor time an append in microseconds, turn by turn.
    processor: Vec<f64>,
}

impl Turns {
    /// Lets `writers` tasks append for about `time`, and counts that as a turn if `counts`.
    pub(crate) fn take<S: Store>(
        &mut self,
        counts: bool,
        runtime: &Runtime,
        store: &Arc<S>,
        writers: usize,
        time: Duration,
    ) {
        runtime.block_on(store.make_room());
        let before = processor_time();
        let begin = now();
        let end = begin + time;
        let latencies = runtime.block_on(async {
            let tasks: Vec<_> = (0..writers)
                .map(|number| {
                    let store = Arc::clone(store);
                    tokio::spawn(async move {
                        let mut latencies = Vec::with_capacity(1024);
                        loop {
                            let begin = now();
                            store.insert(Document::new(number)).await;
                            let done = now();
                            latencies.push(done - begin);
                            if done >= end {
                                return latencies;
                            }
                        }
                    })
                })
                .collect();
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.extend(task.await.expect("an insertion does not panic"));
            }
            latencies
        });
        if counts {
            self.add(&latencies, latencies.len(), begin.elapsed(), before);
        }
    }

    /// The same for what does not take turns with itself: `work` makes `documents` of them durable at a time and
    /// says how long it took.
    pub(crate) fn take_alone(
        &mut self,
        counts: bool,
        documents: usize,
        time: Duration,
        mut work: impl FnMut() -> Duration,
    ) {
        let before = processor_time();
        let begin = now();
        let mut latencies = Vec::new();
        while begin.elapsed() < time {
            latencies.push(work());
        }
        if counts {
            self.add(
                &latencies,
                documents * latencies.len(),
                begin.elapsed(),
                before,
            );
        }
    }

    fn add(&mut self, latencies: &[Duration], appends: usize, time: Duration, before: Duration) {
        let nanos = |latency: &Duration| u64::try_from(latency.as_nanos()).expect("short");
        self.latencies.extend(latencies.iter().map(nanos));
        self.rates.push(appends as f64 / time.as_secs_f64());
        let spent = processor_time().saturating_sub(before);
        self.processor
            .push(1e6 * spent.as_secs_f64() / appends as f64);
    }

    pub(crate) fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// A row of the table, beside what the limit reached.
    pub(crate) fn row(mut self, name: String, writers: usize, limit: f64) -> Row {
        self.latencies.sort_unstable();
        let micros = |share| quantile(&self.latencies, share) as f64 / 1e3;
        Row::new(name)
            .with("writers", writers as f64)
            .with("appends/s", self.rate())
            .with("p50 us", micros(0.5))
            .with("p99 us", micros(0.99))
            .with("p99.9 us", micros(0.999))
            .with("CPU us", median(&self.processor))
            .with("of limit", self.rate() / limit)
    }
}
