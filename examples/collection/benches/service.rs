//! The service: a thousand concurrent inserts of one document of 128 floats, over gRPC, from the first
//! request to the last acknowledgement, under each policy of the log.
//!
//! A disk's speed drifts from minute to minute, so the contestants take turns, round by round, and the
//! medians are compared. `grpc alone` is as many requests that touch no disk: what the protocol takes on
//! this machine, both of its ends.
//!
//! The files lie in Cargo's target directory, which must be on a real disk. `cargo bench -p collection`

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use collection::client::{Client, ConnectOptions};
use collection::server::{ServeOptions, serve};
use collection::{Collection, Config, Metric, Options};
use groupwal::SyncPolicy;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const REQUESTS: usize = 1000;
const CONNECTIONS: usize = 4;
const FLOATS: u32 = 128;
const ROUNDS: usize = 15;
/// Fast contestants get several turns a round.
const FAST_TURNS: usize = 4;

const POLICIES: [(&str, SyncPolicy); 4] = [
    ("adaptive", SyncPolicy::Adaptive),
    (
        "batch (941, 10 ms)",
        SyncPolicy::Batch {
            max_entries: 941,
            max_delay: Duration::from_millis(10),
        },
    ),
    (
        "background (100 ms)",
        SyncPolicy::Background {
            interval: Duration::from_millis(100),
        },
    ),
    ("every-write", SyncPolicy::EveryWrite),
];

/// A server, and connections to it.
struct Contestant {
    name: &'static str,
    clients: Vec<Client>,
    inserted: u128,
    turns: usize,
    durations: Vec<Duration>,
    _dir: TempDir,
}

impl Contestant {
    async fn start(name: &'static str, policy: SyncPolicy) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let config = Config {
            dimension: FLOATS,
            metric: Metric::L2,
        };
        let options = Options {
            log: groupwal::Options::default().policy(policy),
            ..Options::default()
        };
        let collection = Collection::open(dir.path(), Some(config), options).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let collection = Arc::new(collection.expect("it opens"));
        tokio::spawn(serve(
            collection,
            listener,
            ServeOptions::default(),
            std::future::pending(),
        ));
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = Client::connect(&address, ConnectOptions::default()).await;
            clients.push(client.expect("the server answers"));
        }
        let turns = match policy {
            SyncPolicy::Adaptive | SyncPolicy::Batch { .. } => FAST_TURNS,
            _ => 1,
        };
        Self {
            name,
            clients,
            inserted: 0,
            turns,
            durations: Vec::new(),
            _dir: dir,
        }
    }

    /// From the first request to the last answer.
    async fn burst(&mut self) -> Duration {
        let mut requests = JoinSet::new();
        let began = Instant::now();
        for client in self.clients.iter().cycle().take(REQUESTS) {
            let mut client = client.clone();
            let doc = self.inserted;
            self.inserted += 1;
            requests.spawn(async move {
                let vector = vec![0.5; FLOATS as usize];
                client
                    .insert(&[doc], &[1], vector)
                    .await
                    .expect("it is durable");
            });
        }
        requests.join_all().await;
        began.elapsed()
    }

    /// As many requests without a disk.
    async fn burst_of_stats(&self) -> Duration {
        let mut requests = JoinSet::new();
        let began = Instant::now();
        for client in self.clients.iter().cycle().take(REQUESTS) {
            let mut client = client.clone();
            requests.spawn(async move { drop(client.stats().await.expect("an answer")) });
        }
        requests.join_all().await;
        began.elapsed()
    }
}

fn percentile(durations: &[Duration], percent: usize) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    1e3 * sorted[(sorted.len() - 1) * percent / 100].as_secs_f64()
}

async fn measure(rounds: usize) {
    let mut contestants = Vec::new();
    for (name, policy) in POLICIES {
        contestants.push(Contestant::start(name, policy).await);
    }
    let mut alone = Vec::new();
    for round in 0..=rounds {
        // Round 0 warms up and does not count, unless it is the only one.
        let counts = round > 0 || rounds == 0;
        for contestant in &mut contestants {
            for _ in 0..contestant.turns {
                let duration = contestant.burst().await;
                if counts {
                    contestant.durations.push(duration);
                }
            }
        }
        let duration = contestants[0].burst_of_stats().await;
        if counts {
            alone.push(duration);
        }
    }
    println!(
        "{REQUESTS} concurrent inserts of {FLOATS} floats over gRPC, {rounds} rounds in turns"
    );
    let (p10, p50, p90, ratio) = ("p10 ms", "p50 ms", "p90 ms", "/ adaptive");
    println!("{:<22} {p10:>9} {p50:>9} {p90:>9} {ratio:>11}", "");
    let adaptive = percentile(&contestants[0].durations, 50);
    let series = contestants.iter().map(|one| (one.name, &one.durations));
    for (name, durations) in series.chain([("grpc alone", &alone)]) {
        let [p10, p50, p90] = [10, 50, 90].map(|percent| percentile(durations, percent));
        let ratio = p50 / adaptive;
        println!("{name:<22} {p10:>9.2} {p50:>9.2} {p90:>9.2} {ratio:>11.2}");
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    // Cargo says `--bench` when it measures, and nothing when it only tests that benches run.
    let measures = std::env::args().any(|argument| argument == "--bench");
    runtime.block_on(measure(if measures { ROUNDS } else { 0 }));
}
