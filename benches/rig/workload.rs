//! What is measured: many tasks, each of which makes one entry durable.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Tasks that append at the same time, as in the article.
pub(crate) const TASKS: usize = 1000;
/// Floats in an entry: one vector.
pub(crate) const FLOATS: usize = 128;

static VECTOR: LazyLock<[f32; FLOATS]> =
    LazyLock::new(|| std::array::from_fn(|i| (i as f32 * 0.37).sin()));

/// One document, one user, one vector: a body of 561 bytes in the article's layout.
#[derive(Clone, Copy)]
pub(crate) struct Document {
    pub(crate) doc_ids: [u128; 1],
    pub(crate) user_ids: [u128; 1],
    pub(crate) vector: &'static [f32; FLOATS],
}

impl Document {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            doc_ids: [(number as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15)],
            user_ids: [number as u128],
            vector: &VECTOR,
        }
    }
}

/// The clock of all measurements here.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real disk in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Something that makes documents durable.
pub(crate) trait Store: Send + Sync + 'static {
    /// Returns when the document would survive a power cut.
    fn insert(&self, document: Document) -> impl Future<Output = ()> + Send;

    /// Called before each burst, outside the measured time.
    fn make_room(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A thousand tasks insert one document each. Measured from the first spawn to the last
/// acknowledgement.
pub(crate) async fn burst<S: Store>(store: &Arc<S>) -> Duration {
    store.make_room().await;
    let begin = now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.insert(Document::new(number)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("an insertion does not panic");
    }
    begin.elapsed()
}

/// One task inserts `count` documents, each after the acknowledgement of the one before, and says
/// how long each took.
pub(crate) async fn lone<S: Store>(store: &Arc<S>, count: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        store.make_room().await;
        let chunk = TASKS.min(count - latencies.len());
        let store = Arc::clone(store);
        // On a worker thread, where a program's tasks live.
        let task = tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(chunk);
            for number in 0..chunk {
                let begin = now();
                store.insert(Document::new(number)).await;
                latencies.push(begin.elapsed());
            }
            latencies
        });
        latencies.extend(task.await.expect("an insertion does not panic"));
    }
    latencies
}
