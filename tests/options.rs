//! Limits: what is refused, by which name, and that nobody else is disturbed.

mod support;

use std::sync::Arc;
use std::time::Duration;

use groupwal::{Delete, Insert, Options, SyncPolicy};
use support::mem::MemStorage;
use support::tiny::{append_all, contents, open, open_with, options, payloads, ready};

#[track_caller]
fn refused(options: Options, message: &str) {
    let storage = MemStorage::new(1);
    let error = open_with(Arc::new(storage.clone()), options).unwrap_err();
    assert!(error.is_invalid_options());
    assert_eq!(error.to_string(), format!("invalid options: {message}"));
    assert!(storage.snapshot().is_empty(), "something was created");
}

#[test]
fn contradicting_options_are_refused_by_name() {
    for block in [0, 256, 513, 131_072] {
        let message = format!("block_bytes {block} is not a power of two from 512 to 65536");
        refused(options().block_bytes(block), &message);
    }
    refused(
        options().segment_bytes(4097),
        "segment_bytes 4097 is not a multiple of block_bytes 512",
    );
    refused(
        options().entry_bytes_max(2044),
        "an entry of entry_bytes_max 2044 and its 5 bytes of prefix do not fit group_bytes_max 2048",
    );
    refused(
        options().group_bytes_max(5120 - 512 - 63),
        "group_bytes_max 4545 does not fit a segment: segment_bytes 5120 has room for 4544",
    );
    refused(
        options().entry_bytes_max(usize::MAX),
        &format!(
            "an entry of entry_bytes_max {} and its 5 bytes of prefix do not fit group_bytes_max 2048",
            usize::MAX
        ),
    );
    refused(
        options().policy(SyncPolicy::Batch {
            max_entries: 0,
            max_delay: Duration::ZERO,
        }),
        "a batch of max_entries 0 never fills",
    );
    refused(
        options().policy(SyncPolicy::Background {
            interval: Duration::ZERO,
        }),
        "a background interval of 0ns: appends wait for it, so it must be above zero and at most 86400s",
    );
    refused(
        options().policy(SyncPolicy::Background {
            interval: Duration::MAX,
        }),
        "a background interval of 18446744073709551615.999999999s: appends wait for it, so it must be above \
         zero and at most 86400s",
    );
    refused(
        options().entry_bytes_max(0),
        "entry_bytes_max 0 leaves no room for any entry",
    );
    for refusing in [options().group_entries_max(0), options().appends_max(0)] {
        refused(
            refusing,
            "group_entries_max and appends_max must be at least 1",
        );
    }
}

#[test]
fn the_largest_group_that_is_allowed_fits_a_segment() {
    let options = options()
        .entry_bytes_max(4544 - 5)
        .group_bytes_max(5120 - 512 - 64);
    let storage = MemStorage::new(1);
    let wal = open_with(Arc::new(storage.clone()), options.clone()).unwrap();
    for seq in 0..3 {
        assert_eq!(ready(wal.append(&[1; 4539])).unwrap(), seq);
    }
    assert!(
        ready(wal.append(&[1; 4540]))
            .unwrap_err()
            .is_invalid_entry()
    );
    drop(wal);
    let wal = open_with(Arc::new(storage), options).unwrap();
    assert_eq!(contents(&wal).len(), 3);
}

/// One oversized or malformed entry failed its whole group.
#[test]
fn an_invalid_entry_is_refused_and_nobody_else_is_disturbed() {
    let wal = open(&MemStorage::new(1)).unwrap();
    append_all(&wal, 0..1);
    let (ids, floats) = ([1, 2], [0.5; 3]);
    let misfit = Insert {
        doc_ids: &ids,
        user_ids: &[],
        vectors: &floats,
    };
    let error = ready(wal.append(&misfit)).unwrap_err();
    assert!(error.is_invalid_entry() && error.is_not_written());
    assert_eq!(
        error.to_string(),
        "invalid entry: 3 floats cannot be the vectors of 2 documents: the vector length must be a \
         multiple of the number of documents"
    );
    let error = ready(wal.append(&[0; 1025])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid entry: it is 1025 bytes long, the limit is 1024 (Options::entry_bytes_max)"
    );
    let error = ready(wal.append_batch(&[[0; 1024], [0; 1024]])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid entry: the batch takes 2058 bytes, the limit is 2048 (Options::group_bytes_max)"
    );
    let empty: [&[u8]; 0] = [];
    let error = ready(wal.append_batch(&empty)).unwrap_err();
    assert_eq!(error.to_string(), "invalid entry: the batch is empty");
    let no_vectors = Delete {
        doc_ids: &[],
        user_ids: &ids,
    };
    assert_eq!(ready(wal.append(&no_vectors)).unwrap(), 1);
    let error = ready(wal.trim(3)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot trim below 3: only entries below 2 are durable"
    );
}

#[test]
fn an_empty_entry_is_an_entry() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    for seq in 0..20 {
        assert_eq!(ready(wal.append(b"")).unwrap(), seq);
    }
    drop(wal);
    let found = contents(&open(&storage).unwrap());
    assert!(found.iter().all(|(_, bytes)| bytes.is_empty()));
    assert_eq!(found.len(), 20);
}

#[test]
fn a_batch_may_have_more_entries_than_a_group() {
    let few = options().group_entries_max(2);
    let storage = MemStorage::new(1);
    let wal = open_with(Arc::new(storage.clone()), few).unwrap();
    assert_eq!(ready(wal.append_batch(&[b"x"; 9])).unwrap(), 0..9);
    assert_eq!(wal.metrics().groups, 1);
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()).len(), 9);
}

#[test]
fn the_policy_of_every_write_syncs_every_append() {
    let wal = open_with(
        Arc::new(MemStorage::new(1)),
        options().policy(SyncPolicy::EveryWrite),
    )
    .unwrap();
    append_all(&wal, 0..10);
    let metrics = wal.metrics();
    assert_eq!((metrics.groups, metrics.entries), (10, 10));
    assert_eq!(metrics.bytes, 10 * 512);
    assert_eq!(metrics.sync_time.count(), 10);
}

/// The instant "now plus the longest duration there is" does not exist: computing it panicked in
/// the append, although a caller who says "for ever" only means that the group goes when it is full.
#[tokio::test(start_paused = true)]
async fn a_delay_of_for_ever_waits_until_the_group_is_full() {
    let policy = SyncPolicy::Batch {
        max_entries: 3,
        max_delay: Duration::MAX,
    };
    let wal = open_with(Arc::new(MemStorage::new(1)), options().policy(policy)).unwrap();
    let seqs = tokio::join!(wal.append(b"a"), wal.append(b"b"), wal.append(b"c"));
    assert_eq!(
        (seqs.0.unwrap(), seqs.1.unwrap(), seqs.2.unwrap()),
        (0, 1, 2)
    );
}

#[test]
fn a_sealed_log_of_no_entries_opens() {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    ready(wal.close()).unwrap();
    drop(wal);
    let wal = open(&storage).unwrap();
    assert!(wal.recovery().sealed);
    assert_eq!(contents(&wal), payloads(0..0));
}
