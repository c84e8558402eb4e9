//! The command line.

mod load;
mod outcome;
mod secrets;
mod serve;
mod server_args;
mod signals;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::outcome::{Outcome, message};
use self::server_args::ServerArgs;
use crate::collection::Collection;
use crate::options::Options;

/// A collection of vectors, served over gRPC.
///
/// What is acknowledged survives a power cut. Exit status: 0, or 1 with a message.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the collection in a directory; begin one there if there is none.
    Serve(serve::ServeArgs),
    /// Make a document visible to users.
    Insert {
        #[command(flatten)]
        server: ServerArgs,
        /// The document's id.
        #[arg(long)]
        doc: u128,
        /// Who may see it, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        user: Vec<u128>,
        /// Its vector: numbers, separated by commas.
        #[arg(
            long,
            value_delimiter = ',',
            required = true,
            allow_negative_numbers = true
        )]
        vector: Vec<f32>,
    },
    /// Take documents away from users.
    Remove {
        #[command(flatten)]
        server: ServerArgs,
        /// The documents' ids, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        doc: Vec<u128>,
        /// From whom, separated by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        user: Vec<u128>,
    },
    /// Find the documents nearest to a vector.
    Search {
        #[command(flatten)]
        server: ServerArgs,
        /// Who searches.
        #[arg(long, default_value_t = load::USER)]
        user: u128,
        /// The vector: numbers, separated by commas.
        #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
        vector: Vec<f32>,
        /// Instead of a vector: the one that `load` gives this document.
        #[arg(long, conflicts_with = "vector", required_unless_present = "vector")]
        like: Option<u128>,
        /// How many at most.
        #[arg(short, default_value_t = 10)]
        k: u32,
        /// Wait until everything up to this operation is seen.
        #[arg(long)]
        seen: Option<u64>,
    },
    /// Move everything acknowledged into a segment file.
    Flush(ServerArgs),
    /// Tell what the server holds.
    Stats(ServerArgs),
    /// Insert random vectors from many clients, and measure.
    #[command(after_help = load::EXAMPLES)]
    Load(load::LoadArgs),
    /// Print the ids of all documents that a user sees, in order. The collection must not be served meanwhile.
    List {
        /// The collection's directory.
        #[arg(long)]
        dir: PathBuf,
        /// Who sees them.
        #[arg(long, default_value_t = load::USER)]
        user: u128,
    },
    /// Look whether what `load` has written into a journal is there.
    Check(load::CheckArgs),
}

/// The whole of the program's `main`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = signals::survive_file_size_limit() {
        eprintln!("error: cannot install a signal handler: {error}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(args).await?,
        Command::Insert {
            server,
            doc,
            user,
            vector,
        } => {
            let seq = server
                .connect()
                .await?
                .insert(&[doc], &user, vector)
                .await?;
            println!("durable as operation {seq}");
        }
        Command::Remove { server, doc, user } => {
            let seq = server.connect().await?.remove(&doc, &user).await?;
            println!("durable as operation {seq}");
        }
        Command::Search {
            server,
            user,
            vector,
            like,
            k,
            seen,
        } => {
            let mut client = server.connect().await?;
            let vector = match like {
                Some(doc) => load::vector_of(doc, client.stats().await?.dimension),
                None => vector,
            };
            let found = client.search(user, vector, k, seen, false).await?;
            for hit in &found.hits {
                println!("{:>12.6}  document {}", hit.distance, hit.doc);
            }
            println!(
                "{} hits, all operations below {} seen",
                found.hits.len(),
                found.seen_below
            );
        }
        Command::Flush(server) => {
            let position = server.connect().await?.flush().await?;
            println!("all operations below {position} are in segment files");
        }
        Command::Stats(server) => print_stats(&server.connect().await?.stats().await?),
        Command::List { dir, user } => list(&dir, user).await?,
        Command::Load(args) => load::load(args).await?,
        Command::Check(args) => load::check(args).await?,
    }
    Ok(())
}

/// By a search for as many as there are.
async fn list(dir: &Path, user: u128) -> Outcome {
    let options = Options {
        hits_max: usize::MAX,
        ..Options::default()
    };
    let collection = match Collection::open(dir, None, options).await {
        // It was going to be one.
        Err(error) if error.is_missing() => return Ok(()),
        opened => opened?,
    };
    // Has a direction, for whatever metric.
    let vector = vec![1.0; collection.config().dimension as usize];
    let found = match collection
        .search(user, &vector, usize::MAX, None, false)
        .await
    {
        Err(error) if error.invalid_field() == Some("user_id") => Vec::new(),
        found => found?.hits,
    };
    collection.close().await?;
    let mut docs: Vec<u128> = found.into_iter().map(|hit| hit.doc).collect();
    docs.sort_unstable();
    let mut out = std::io::stdout().lock();
    docs.iter().try_for_each(|doc| writeln!(out, "{doc}"))?;
    Ok(())
}

fn print_stats(stats: &crate::proto::StatsResponse) {
    let rows: u64 = stats.segments.iter().map(|segment| segment.rows).sum();
    let bytes: u64 = stats.segments.iter().map(|segment| segment.bytes).sum();
    println!("dimension {}, {}", stats.dimension, stats.metric);
    println!(
        "operations: {} durable, {} visible, {} in segments, {} trimmed",
        stats.durable_seq, stats.visible_seq, stats.flushed_seq, stats.trimmed_seq
    );
    let count = stats.segments.len();
    println!("segments:   {count} with {rows} rows in {bytes} bytes");
    println!(
        "memory:     {} rows in {} bytes",
        stats.memory_rows, stats.memory_bytes
    );
    println!("log groups: {} since the start", stats.log_groups);
    if !stats.flush_error.is_empty() {
        println!("not flushed: {}", stats.flush_error);
    }
}
