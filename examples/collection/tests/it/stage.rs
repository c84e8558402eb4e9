//! A collection in a temporary directory, small enough that everything happens soon; and a server of it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use collection::client::{Client, ConnectOptions};
use collection::server::{ServeOptions, serve};
use collection::{Collection, Config, Error, Metric, Options};
use groupwal::{OsStorage, Storage};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

pub(crate) const DIMENSION: usize = 4;
pub(crate) const USER: u128 = 7;

/// Whatever a vector is not asked about.
pub(crate) fn vector(x: f32) -> [f32; DIMENSION] {
    [x, 0.0, 0.0, 1.0]
}

pub(crate) fn runtime() -> Runtime {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime can be built")
}

pub(crate) fn config(metric: Metric) -> Config {
    Config {
        dimension: u32::try_from(DIMENSION).expect("it is 4"),
        metric,
    }
}

/// Files of a few KiB.
pub(crate) fn options() -> Options {
    Options {
        log: groupwal::Options::default().segment_bytes(64 << 10),
        memory_bytes_max: 4 << 10,
        operation_bytes_max: 8 << 10,
        operation_rows_max: 200,
        merge_width: 3,
        ..Options::default()
    }
}

/// A directory, and how the collection in it is opened.
pub(crate) struct Stage {
    tmp: TempDir,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) metric: Metric,
    pub(crate) options: Options,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            tmp: tempfile::tempdir().expect("a directory"),
            storage: Arc::new(OsStorage),
            metric: Metric::L2,
            options: options(),
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.tmp.path().join("data")
    }

    pub(crate) async fn try_open(&self) -> Result<Collection, Error> {
        let (storage, config) = (Arc::clone(&self.storage), config(self.metric));
        Collection::open_with(storage, self.dir(), Some(config), self.options.clone()).await
    }

    pub(crate) async fn open(&self) -> Collection {
        self.try_open().await.expect("it opens")
    }

    /// Opens it, does something, and lets everything fall, as a crash of the process would.
    pub(crate) fn crash_after<T>(&self, work: impl AsyncFnOnce(Collection) -> T) -> T {
        let runtime = runtime();
        runtime.block_on(async { work(self.open().await).await })
    }

    pub(crate) async fn serve(&self, options: ServeOptions) -> Server {
        Server::start(Arc::new(self.open().await), options).await
    }

    pub(crate) fn segment_files(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.dir()).expect("the directory is there");
        let paths = files.map(|file| file.expect("it can be read").path());
        let mut segments: Vec<_> = paths
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "segment")
            })
            .collect();
        segments.sort();
        segments
    }
}

/// Copies the files of a directory into a new one.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the name is free");
    for file in fs::read_dir(from).expect("the directory is there") {
        let file = file.expect("it can be read");
        fs::copy(file.path(), to.join(file.file_name())).expect("there is room");
    }
}

/// The documents that a user sees, in order.
pub(crate) async fn documents(collection: &Collection, user: u128) -> Vec<u128> {
    let seen = collection.stats().await.durable_seq.checked_sub(1);
    let found = collection
        .search(user, &vector(0.0), 1000, seen, false)
        .await;
    let hits = found.expect("a search works").hits;
    let mut docs: Vec<u128> = hits.iter().map(|hit| hit.doc).collect();
    docs.sort_unstable();
    docs
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) collection: Arc<Collection>,
    address: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), Box<dyn std::error::Error + Send + Sync>>>,
}

impl Server {
    pub(crate) async fn start(collection: Arc<Collection>, options: ServeOptions) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let serving = serve(Arc::clone(&collection), listener, options, shutdown);
        Self {
            collection,
            address: format!("http://{address}"),
            stop,
            serving: tokio::spawn(serving),
        }
    }

    /// For other services than the collection.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.address.clone()).expect("an address");
        endpoint.connect().await.expect("the server answers")
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(None).await
    }

    pub(crate) async fn client_with(&self, token: Option<&str>) -> Client {
        let options = ConnectOptions {
            token: token.map(str::to_owned),
            #[cfg(feature = "tls")]
            authority: None,
        };
        let client = Client::connect(&self.address, options).await;
        client.expect("the server answers")
    }

    /// Tells it to end, and hands over the end.
    pub(crate) fn begin_to_stop(
        self,
    ) -> JoinHandle<Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        drop(self.stop);
        self.serving
    }

    pub(crate) async fn stop(self) {
        let ended = self.begin_to_stop().await;
        ended.expect("no panic").expect("an orderly end");
    }
}
