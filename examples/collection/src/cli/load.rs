//! `collection load` and `collection check`: many clients that insert, and a look at what is left.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::outcome::{Outcome, message};
use super::server_args::ServerArgs;
use crate::client::Client;

/// Whom the documents are for, if nobody else is named.
pub(super) const USER: u128 = 1;

pub(super) const EXAMPLES: &str = "\
Examples:
  load                                  100,000 vectors from 64 clients
  load --inserts 2000000 --clients 256  more of both
  load --journal acked.txt              notes each acknowledged document, for `check`
  load --flush-every 200000             flushes meanwhile

Document ids count from --first; a document's vector derives from its id.";

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How many vectors.
    #[arg(long, default_value_t = 100_000)]
    inserts: u64,
    /// How many clients insert at once, each waiting for its answer.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Connections that the clients share.
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// Id of the first document; those after it follow.
    #[arg(long, default_value_t = 0)]
    first: u128,
    /// Who may see them.
    #[arg(long, default_value_t = USER)]
    user: u128,
    /// Ask for a flush after so many inserts.
    #[arg(long)]
    flush_every: Option<u64>,
    /// Append each acknowledged document's id to this file, before the next is inserted.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Say `attempt ID` before each insert and `ack ID` after it, on standard output.
    #[arg(long)]
    announce: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// What `load` has written.
    #[arg(long)]
    journal: PathBuf,
    /// Who may see the documents.
    #[arg(long, default_value_t = USER)]
    user: u128,
    /// How many are searched for, spread evenly, the newest among them.
    #[arg(long, default_value_t = 200)]
    sample: usize,
}

/// The vector of a document: uniform in the cube from -1 to 1.
pub(super) fn vector_of(doc: u128, dimension: u32) -> Vec<f32> {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&doc.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(seed);
    (0..dimension)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect()
}

/// What the clients share.
struct Load {
    args: LoadArgs,
    dimension: u32,
    taken: AtomicU64,
    acked: AtomicU64,
    journal: Option<Mutex<File>>,
    bar: ProgressBar,
}

pub(super) async fn load(args: LoadArgs) -> Outcome {
    let mut connections = Vec::new();
    for _ in 0..args.connections.max(1) {
        connections.push(args.server.connect().await?);
    }
    let dimension = connections[0].stats().await?.dimension;
    let open = |path| File::options().create(true).append(true).open(path);
    let journal = args.journal.as_ref().map(open).transpose()?.map(Mutex::new);
    let style = "{bar:40} {pos}/{len} inserts, {per_sec}, {eta} left";
    let bar = ProgressBar::new(args.inserts).with_style(ProgressStyle::with_template(style)?);
    let load = Arc::new(Load {
        dimension,
        taken: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        journal,
        bar,
        args,
    });

    let mut clients = JoinSet::new();
    let started = Instant::now();
    for client in (0..load.args.clients.max(1)).zip(connections.iter().cycle()) {
        clients.spawn(insert_until_done(Arc::clone(&load), client.1.clone()));
    }
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut failure = None;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let ended = tokio::select! {
            ended = clients.join_next() => ended,
            signal = &mut interrupted => {
                signal?;
                failure = Some("interrupted".to_owned());
                break;
            }
        };
        match ended {
            None => break,
            Some(ended) => match ended? {
                Ok(of_client) => latencies.add(of_client)?,
                Err((of_client, status)) => {
                    latencies.add(of_client)?;
                    // The others fail likewise, or come to their end.
                    failure.get_or_insert(message(&status));
                    load.taken.store(load.args.inserts, Ordering::Relaxed);
                }
            },
        }
    }
    let elapsed = started.elapsed();
    load.bar.finish_and_clear();
    let acked = load.acked.load(Ordering::Relaxed);
    let milliseconds = |percent| latencies.value_at_percentile(percent) as f64 / 1e3;
    let summary = format!(
        "{acked} inserts acknowledged in {:.2} s: {:.0} a second, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        elapsed.as_secs_f64(),
        acked as f64 / elapsed.as_secs_f64(),
        milliseconds(50.0),
        milliseconds(99.0),
        latencies.max() as f64 / 1e3,
    );
    if load.args.announce {
        // Standard output is for announcements alone.
        eprintln!("{summary}");
    } else {
        println!("{summary}");
    }
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}

impl Load {
    /// The next document, if there is one. `list` shows documents in the order of their numbers, so they are
    /// announced in that order: no client takes a later one before this one is announced.
    fn take(&self) -> Option<u128> {
        let mut announcements = self.args.announce.then(|| std::io::stdout().lock());
        let nth = self.taken.fetch_add(1, Ordering::Relaxed);
        let doc = self.args.first + u128::from(nth);
        if nth >= self.args.inserts {
            return None;
        }
        if let Some(out) = &mut announcements {
            writeln!(out, "attempt {doc}").expect("what hears the announcements is there");
        }
        Some(doc)
    }
}

/// One client. Returns how long its inserts took, in microseconds.
async fn insert_until_done(
    load: Arc<Load>,
    mut client: Client,
) -> Result<Histogram<u64>, (Histogram<u64>, tonic::Status)> {
    let mut latencies = Histogram::new(3).expect("three digits are fine");
    loop {
        let Some(doc) = load.take() else {
            return Ok(latencies);
        };
        let vector = vector_of(doc, load.dimension);
        let began = Instant::now();
        if let Err(status) = client.insert(&[doc], &[load.args.user], vector).await {
            return Err((latencies, status));
        }
        let recorded = latencies.record(micros(began.elapsed()));
        recorded.expect("it grows as needed");
        if load.args.announce {
            println!("ack {doc}");
        }
        load.acked.fetch_add(1, Ordering::Relaxed);
        load.bar.inc(1);
        if let Some(journal) = &load.journal {
            // One write: a kill leaves whole lines, and at most one that is not.
            let line = format!("{doc}\n");
            let mut journal = journal.lock().expect("nothing panics with it");
            if let Err(error) = journal.write_all(line.as_bytes()) {
                let status = tonic::Status::internal(format!("cannot write the journal: {error}"));
                return Err((latencies, status));
            }
        }
        let nth = doc - load.args.first;
        let is_due = |every: u64| (nth + 1).is_multiple_of(every.max(1).into());
        if load.args.flush_every.is_some_and(is_due)
            && let Err(status) = client.flush().await
        {
            return Err((latencies, status));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(super) async fn check(args: CheckArgs) -> Outcome {
    let mut docs: Vec<u128> = Vec::new();
    let journal = File::options().read(true).open(&args.journal);
    let journal =
        journal.map_err(|error| format!("cannot read {}: {error}", args.journal.display()))?;
    for line in BufReader::new(journal).lines() {
        let line = line?;
        docs.push(
            line.parse()
                .map_err(|_| format!("'{line}' is no document's id"))?,
        );
    }
    if docs.is_empty() {
        return Err("nothing was acknowledged: there is nothing to check".into());
    }
    let mut client = args.server.connect().await?;
    let dimension = client.stats().await?.dimension;
    let sample = args.sample.clamp(1, docs.len());
    let chosen: Vec<u128> = (1..=sample)
        .map(|nth| docs[nth * docs.len() / sample - 1])
        .collect();
    let bar = ProgressBar::new(sample as u64).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} searches, {eta} left",
    )?);
    let mut lost = Vec::new();
    for doc in chosen {
        let found = client
            .search(args.user, vector_of(doc, dimension), 1, None, false)
            .await?;
        if found.hits.first().is_none_or(|hit| hit.doc != doc) {
            lost.push(doc);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if lost.is_empty() {
        println!(
            "{} acknowledged, {sample} of them searched for, all found",
            docs.len()
        );
        return Ok(());
    }
    Err(format!("{} of {sample} are not found: {lost:?}", lost.len()).into())
}
