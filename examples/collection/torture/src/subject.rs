//! The whole server and its clients as the subject.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use collection::client::{Client, ConnectOptions};
use collection::server::{ServeOptions, serve};
use collection::{Blocking, Collection, Config, Metric, Options};
use groupwal::EngineKind;
use plugpull::oracle::Oracle;
use plugpull::{Recorder, RecoverRun, Simulated, Subject, SubjectError, Survivors, WriteRun};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::access::{Access, HITS_MAX};
use crate::act::{act, look, show_all};
use crate::documents::Layout;
use crate::oracle::CollectionOracle;

/// Room for the largest payload of any workload.
const LAYOUT: Layout = Layout {
    payload_bytes_max: 5000,
};

/// The subject. Its engines are the log's.
#[derive(Clone, Copy, Debug, Default)]
pub struct VectorCollection;

impl Subject for VectorCollection {
    fn name(&self) -> &'static str {
        "collection"
    }

    fn constructor(&self) -> String {
        "collection_torture::VectorCollection".to_owned()
    }

    /// It listens, and is connected to, before anything is inserted.
    fn life_max(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(CollectionOracle::default())
    }

    fn engines(&self) -> &[&'static str] {
        if EngineKind::Uring.is_available() {
            &["blocking", "inline", "uring"]
        } else {
            &["blocking", "inline"]
        }
    }

    /// The log's; the collection's own files are written by plain calls.
    fn has_one_request_in_flight(&self, engine: &str) -> bool {
        engine == "uring"
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        runtime()?.block_on(async {
            let server = Server::start(run.dir, run.engine).await?;
            let access = Access::Remote(server.client().await?);
            let mut tasks = JoinSet::new();
            let acked = Arc::new(AtomicU64::new(0));
            let mut others = JoinSet::new();
            for writer in 0..run.workload.writers {
                let (workload, recorder) = (run.workload.clone(), run.recorder.clone());
                let (access, acked) = (access.clone(), Arc::clone(&acked));
                tasks.spawn(async move {
                    for action in workload.actions(writer) {
                        if let Some(pause) = action.pause {
                            tokio::time::sleep(pause).await;
                        }
                        if act(&access, LAYOUT, &workload, &action, &recorder).await? {
                            acked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Ok::<_, SubjectError>(())
                });
            }
            if let Some(every) = run.workload.trim_every {
                others.spawn(flush_now_and_then(access.clone(), every, acked));
            }
            if run.workload.replays {
                others.spawn(look_for_ever(access, run.recorder.clone()));
            }
            loop {
                // The others end by an error only.
                let ended = tokio::select! {
                    ended = tasks.join_next() => ended,
                    Some(ended) = others.join_next() => Some(ended),
                };
                match ended {
                    Some(ended) => ended??,
                    None => return Ok(()),
                }
            }
        })
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        runtime()?.block_on(async {
            let server = Server::start(run.dir, run.engine).await?;
            let access = Access::Remote(server.client().await?);
            show_all(&access, LAYOUT, survivors).await?;
            if run.close {
                server.stop().await?;
            }
            Ok(())
        })
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// Files so small that flushes, merges, rotation and trim happen all the time.
fn options(engine: &str) -> Options {
    let log = groupwal::Options::default()
        .engine(match engine {
            "inline" => EngineKind::Inline,
            "uring" => EngineKind::Uring,
            _ => EngineKind::Blocking,
        })
        .segment_bytes(64 << 10);
    Options {
        log,
        memory_bytes_max: 48 << 10,
        operation_bytes_max: 8 << 10,
        hits_max: HITS_MAX as usize,
        merge_width: 2,
        blocking: Blocking::Pool,
        ..Options::default()
    }
}

/// A server in this process, reached over loopback as by anybody else.
struct Server {
    address: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), SubjectError>>,
}

impl Server {
    async fn start(dir: &Path, engine: &str) -> Result<Self, SubjectError> {
        let config = Config {
            dimension: LAYOUT.dimension(),
            metric: Metric::L2,
        };
        let collection = Collection::open(dir, Some(config), options(engine)).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let serving = serve(
            Arc::new(collection),
            listener,
            ServeOptions::default(),
            // Also if the sender is dropped.
            async move { drop(stopped.await) },
        );
        Ok(Self {
            address,
            stop,
            serving: tokio::spawn(serving),
        })
    }

    async fn client(&self) -> Result<Client, SubjectError> {
        Client::connect(&self.address, ConnectOptions::default()).await
    }

    async fn stop(self) -> Result<(), SubjectError> {
        drop(self.stop);
        self.serving.await?
    }
}

/// Flushes after so many acknowledgements.
async fn flush_now_and_then(
    access: Access,
    every: u32,
    acked: Arc<AtomicU64>,
) -> Result<(), SubjectError> {
    let mut flushed = 0;
    loop {
        tokio::time::sleep(Duration::from_micros(500)).await;
        let now = acked.load(Ordering::Relaxed);
        // Operations here are longer than entries elsewhere.
        if now >= flushed + u64::from(every / 4).max(1) {
            access.flush().await?;
            flushed = now;
        }
    }
}

/// Searches while everything goes on; what it finds may not be lost.
async fn look_for_ever(access: Access, recorder: Recorder) -> Result<(), SubjectError> {
    loop {
        look(&access, LAYOUT, &recorder).await?;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}
