//! What the history costs a writer: the time of one event, on one thread and on four that record at
//! once. It must stay under 100 ns, or the harness would change what it watches.
//!
//! An iteration is one event: attempts and acks in turns. Each history is fresh, as a writer's is, so
//! the kernel's work of handing out its pages is in the figures.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plugpull::Recorder;
use plugpull::history::History;

/// As many as `kill` gives a writer.
const EVENTS_MAX: u64 = 1 << 17;

criterion_group!(benches, event);
criterion_main!(benches);

fn event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    for threads in [1, 4] {
        group.bench_function(format!("{threads}-threads"), |bencher| {
            bencher.iter_custom(|events| record(events, threads));
        });
    }
}

/// The time that so many events of each thread take, in a history after the other.
fn record(mut events: u64, threads: u64) -> Duration {
    let mut total = Duration::ZERO;
    while events > 0 {
        let part = events.min(EVENTS_MAX / threads);
        total += record_in_one(part, threads);
        events -= part;
    }
    // Per event of all threads together: an event is one iteration, whoever records it.
    total / u32::try_from(threads).expect("a few threads")
}

fn record_in_one(events: u64, threads: u64) -> Duration {
    let capacity = usize::try_from(EVENTS_MAX).expect("it fits");
    let recorder = Recorder::new(History::create(capacity).expect("a memfd"));
    let begin = Barrier::new(usize::try_from(threads).expect("a few"));
    std::thread::scope(|scope| {
        let work = |thread: u64| {
            let (recorder, begin) = (&recorder, &begin);
            scope.spawn(move || {
                begin.wait();
                let started = Instant::now();
                for event in 0..events {
                    let id = thread << 32 | event >> 1;
                    if event & 1 == 0 {
                        recorder.attempt(id);
                    } else {
                        recorder.ack(id, event);
                    }
                }
                (started, Instant::now())
            })
        };
        let threads: Vec<_> = (0..threads).map(work).collect();
        let times = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        let (begins, ends): (Vec<_>, Vec<_>) = times.unzip();
        let (begin, end) = (begins.iter().min(), ends.iter().max());
        *end.expect("a thread") - *begin.expect("a thread")
    })
}
