//! Work that is run at once.

use std::sync::Arc;

use groupwal::EngineKind;

use crate::executors::{InPlace, on};
use crate::support::mem::MemStorage;
use crate::support::tiny::{append_all, contents, open_with, payloads, ready};

/// On a runtime: work that went to the pool instead would have to be waited for.
#[tokio::test]
async fn work_that_is_run_in_place_leaves_nothing_to_wait_for() {
    for engine in [EngineKind::Blocking, EngineKind::Auto] {
        let (executor, storage) = (InPlace::new(100), MemStorage::new(1));
        let options = on(&executor).engine(engine);
        // So large that no other one is made ready meanwhile.
        let large = options.clone().segment_bytes(64 << 10);
        let wal = open_with(Arc::new(storage.clone()), large).unwrap();
        assert_eq!(executor.left(), 99);
        append_all(&wal, 0..20);
        assert_eq!(executor.left(), 79);
        assert_eq!(contents(&wal), payloads(0..20));
        ready(wal.trim(15)).unwrap();
        ready(wal.close()).unwrap();
        drop(wal);
        let wal = open_with(Arc::new(storage), options).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal), payloads(15..20));
    }
}

#[tokio::test]
async fn the_inline_engine_has_no_use_for_an_executor() {
    let executor = InPlace::new(0);
    let options = on(&executor).engine(EngineKind::Inline);
    assert!(format!("{options:?}").contains("executor: Some(Executor)"));
    let wal = open_with(Arc::new(MemStorage::new(1)), options).unwrap();
    append_all(&wal, 0..20);
    assert_eq!(contents(&wal), payloads(0..20));
    ready(wal.close()).unwrap();
}
