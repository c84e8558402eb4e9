//! `collection serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use groupwal::{EngineKind, SyncPolicy};
use tokio::net::TcpListener;

use super::outcome::Outcome;
use super::secrets::read_token;
use super::signals;
use crate::collection::Collection;
use crate::metric::Metric;
use crate::options::{AcceptLog, Config, Options};
use crate::server::{ServeOptions, serve};

/// Of a new collection, if nothing else is said.
const DIMENSION: u32 = 128;
/// The article's tick.
const BACKGROUND_INTERVAL: Duration = Duration::from_millis(100);
/// The article's write group, its leader included.
const BATCH_ENTRIES: u32 = 941;
const BATCH_DELAY: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The collection's directory.
    #[arg(long)]
    dir: PathBuf,
    /// Where to listen. Outside this machine only with a token or TLS. Port 0: any that is free.
    #[arg(long, default_value = "127.0.0.1:7450")]
    listen: SocketAddr,
    /// Length of every vector. Needed for a new collection only, where it is 128 if not given.
    #[arg(long)]
    dimension: Option<u32>,
    /// How near two vectors are: l2, cosine or dot. Likewise; l2 if not given.
    #[arg(long)]
    metric: Option<Metric>,
    /// When the log syncs.
    #[arg(long, value_enum, default_value_t = Policy::Adaptive)]
    policy: Policy,
    /// How the log reaches the disk.
    #[arg(long, value_enum, default_value_t = Engine::Auto)]
    engine: Engine,
    /// Operations in memory are flushed when they take so much.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    memory: usize,
    /// Size of the log's files.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    log_segment: u64,
    /// The log is gone: begin a new one, and lose the operations that were in it and in no segment file.
    #[arg(long)]
    accept_lost_log: bool,
    /// The log was made from the collection's own by `groupwal salvage`: take it, and go on without what
    /// it has lost.
    #[arg(long, conflicts_with = "accept_lost_log")]
    adopt_log: bool,
    /// Searches that run at once.
    #[arg(long, default_value_t = 8)]
    searches: usize,
    /// A file whose first line is the token that clients have to show.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The server's certificate, PEM.
    #[cfg(feature = "tls")]
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[cfg(feature = "tls")]
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    /// The first to find no sync in progress leads; the others form the next group.
    Adaptive,
    /// The article's write group: 941 entries or 10 ms.
    Batch,
    /// Every 100 ms.
    Background,
    /// One sync an operation.
    EveryWrite,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    Auto,
    Blocking,
    Inline,
    Uring,
}

impl From<Policy> for SyncPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Adaptive => Self::Adaptive,
            Policy::Batch => Self::Batch {
                max_entries: BATCH_ENTRIES,
                max_delay: BATCH_DELAY,
            },
            Policy::Background => Self::Background {
                interval: BACKGROUND_INTERVAL,
            },
            Policy::EveryWrite => Self::EveryWrite,
        }
    }
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Auto => Self::Auto,
            Engine::Blocking => Self::Blocking,
            Engine::Inline => Self::Inline,
            Engine::Uring => Self::Uring,
        }
    }
}

pub(super) async fn run(args: ServeArgs) -> Outcome {
    let mut serve_options = ServeOptions {
        token: args.token_file.as_deref().map(read_token).transpose()?,
        ..ServeOptions::default()
    };
    #[cfg(feature = "tls")]
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        serve_options.tls = Some((
            super::secrets::read(certificate)?,
            super::secrets::read(key)?,
        ));
    }
    serve_options.check_address(args.listen)?;
    let options = Options {
        log: groupwal::Options::default()
            .policy(args.policy.into())
            .engine(args.engine.into())
            // The runtime of this program has one.
            .io_driver(true)
            .segment_bytes(args.log_segment.saturating_mul(1 << 20)),
        accept_log: if args.accept_lost_log {
            AcceptLog::Lost
        } else if args.adopt_log {
            AcceptLog::Other
        } else {
            AcceptLog::Own
        },
        memory_bytes_max: args.memory.saturating_mul(1 << 20),
        searches_max: args.searches,
        ..Options::default()
    };
    // Ids take a little more in a message than in the log.
    serve_options.request_bytes_max = 2 * options.operation_bytes_max;

    // Asked for before the work begins: a signal during recovery ends it, too.
    let shutdown = signals::asked_to_end()?;
    tokio::pin!(shutdown);
    let open = open(&args, options);
    let collection = tokio::select! {
        opened = open => Arc::new(opened?),
        () = &mut shutdown => return Ok(()),
    };
    let listener = TcpListener::bind(args.listen).await;
    let listener =
        listener.map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    for name in collection.unknown_files() {
        let path = args.dir.join(name);
        eprintln!("not the collection's, left alone: {}", path.display());
    }
    let (config, stats) = (collection.config(), collection.stats().await);
    println!(
        "serving {} on http://{}: dimension {}, {}, {} operations",
        args.dir.display(),
        listener.local_addr()?,
        config.dimension,
        config.metric,
        stats.durable_seq,
    );
    serve(collection, listener, serve_options, shutdown).await
}

/// Opens what is there, or begins a collection; what is asked for must not contradict what is there.
async fn open(args: &ServeArgs, options: Options) -> Result<Collection, crate::Error> {
    let begins = Config {
        dimension: args.dimension.unwrap_or(DIMENSION),
        metric: args.metric.unwrap_or_default(),
    };
    let collection = match Collection::open(&args.dir, None, options.clone()).await {
        Err(error) if error.is_missing() => {
            return Collection::open(&args.dir, Some(begins), options).await;
        }
        opened => opened?,
    };
    let Config { dimension, metric } = collection.config();
    let is_asked_for = args.dimension.is_none_or(|asked| asked == dimension)
        && args.metric.is_none_or(|asked| asked == metric);
    if is_asked_for {
        return Ok(collection);
    }
    collection.close().await?;
    // Says what there is instead.
    let asked = Config {
        dimension: args.dimension.unwrap_or(dimension),
        metric: args.metric.unwrap_or(metric),
    };
    Collection::open(&args.dir, Some(asked), options).await
}
