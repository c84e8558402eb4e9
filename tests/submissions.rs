//! What the engine `uring` hands to the kernel, as its trace tells. Alone in its process: who listens to a
//! trace is decided once for each place that it comes from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use groupwal::{EngineKind, Options, Wal};
use tokio::runtime::Builder;

/// What the engine says it submits.
#[derive(Default)]
struct Submissions(Mutex<Vec<BTreeMap<String, String>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

struct Listener(Arc<Submissions>);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().ends_with("uring")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.0.0.lock().unwrap().push(fields);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// As on the blocking engine `strace` shows it: a lone append is one request, and it syncs. Where a
/// write cannot sync by itself, a sync follows it.
#[test]
fn every_group_in_the_ring_is_synced() {
    if !EngineKind::Uring.is_available() {
        return eprintln!("SKIPPED: the kernel does not allow io_uring here");
    }
    let heard = Arc::new(Submissions::default());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(Listener(heard.clone()), || {
        runtime.block_on(async {
            let options = Options::default().engine(EngineKind::Uring);
            let wal = Wal::open(dir.path(), options).await.unwrap();
            for _ in 0..100 {
                wal.append(&[1; 561]).await.unwrap();
            }
            assert_eq!(wal.metrics().groups, 100);
        });
    });
    let heard = heard.0.lock().unwrap();
    let of = |name: &'static str| {
        heard
            .iter()
            .filter(move |fields| fields["op"] == format!("{name:?}"))
    };
    assert_eq!(of("write").count(), 100);
    let bare = of("write").filter(|fields| !fields["flags"].contains("DSYNC"));
    assert_eq!(bare.count(), of("sync").count());
    println!("{:?}", heard.last());
}
