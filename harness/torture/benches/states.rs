//! Crash states a second on one core: groupwal's tiny workload on the simulated file system, with
//! everything that a state takes, from the cut over recovery to the oracle's verdict. At least 10,000
//! are wanted.
//!
//! An iteration is a fixed number of rounds from a fixed seed, so it always looks at the same states.

use std::thread;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use groupwal::SyncPolicy;
use plugpull::{CrashKind, Report, Torture};
use torture::GroupWal;

const ROUNDS: u64 = 4;

criterion_group!(benches, states);
criterion_main!(benches);

fn states(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("states");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    for kind in [CrashKind::Power, CrashKind::Fault, CrashKind::Rot] {
        let row = &torture(kind).rows[0];
        println!(
            "{kind}: {:.0} states/s, {} in {ROUNDS} rounds",
            row.states_per_s, row.tally.crash_states
        );
        group.throughput(Throughput::Elements(row.tally.crash_states));
        group.bench_function(kind.to_string(), |bencher| bencher.iter(|| torture(kind)));
    }
}

fn torture(kind: CrashKind) -> Report {
    // A torture belongs to a test, which it knows by the name of its thread.
    thread::Builder::new()
        .name("states".into())
        .spawn(move || {
            Torture::new(GroupWal::new("groupwal", SyncPolicy::Adaptive))
                .crash([kind])
                .rounds(ROUNDS)
                .seed(1)
                .run()
                .unwrap_or_else(|failure| panic!("{failure}"))
        })
        .expect("a thread")
        .join()
        .expect("no promise is broken")
}
