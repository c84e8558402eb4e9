//! From memory into segments, and what a crash leaves of that.

use crate::disk::Disk;
use crate::stage::{DIMENSION, Stage, USER, documents, vector};

const OTHER: u128 = 8;

#[test]
fn what_is_acknowledged_survives_a_crash_flushed_or_not() {
    let stage = Stage::new();
    for round in 0..6_u128 {
        stage.crash_after(async |collection| {
            let expected: Vec<u128> = (0..round * 10).collect();
            if round > 0 {
                assert_eq!(documents(&collection, USER).await, expected);
            }
            for doc in round * 10..(round + 1) * 10 {
                collection
                    .insert(&[doc], &[USER], &vector(1.0))
                    .await
                    .unwrap();
                if doc == round * 10 + 4 && round.is_multiple_of(2) {
                    collection.flush().await.unwrap();
                }
            }
        });
    }
}

#[test]
fn what_is_removed_stays_removed() {
    let stage = Stage::new();
    stage.crash_after(async |collection| {
        let docs: Vec<u128> = (0..8).collect();
        let vectors = [1.0; 8 * DIMENSION];
        collection
            .insert(&docs, &[USER, OTHER], &vectors)
            .await
            .unwrap();
        collection.flush().await.unwrap();
        // In memory, over a segment.
        collection.remove(&[0, 1], &[USER]).await.unwrap();
        assert_eq!(documents(&collection, USER).await, [2, 3, 4, 5, 6, 7]);
        assert_eq!(documents(&collection, OTHER).await, docs);
    });
    // After a crash; then in a segment of removals, over a segment.
    stage.crash_after(async |collection| {
        assert_eq!(documents(&collection, USER).await, [2, 3, 4, 5, 6, 7]);
        collection.flush().await.unwrap();
        assert_eq!(documents(&collection, USER).await, [2, 3, 4, 5, 6, 7]);
    });
    // Merged, by and by; inserted again.
    stage.crash_after(async |collection| {
        for doc in [2, 3, 4, 5] {
            collection.remove(&[doc], &[USER]).await.unwrap();
            collection.flush().await.unwrap();
        }
        collection
            .insert(&[0], &[USER], &vector(2.0))
            .await
            .unwrap();
        collection.flush().await.unwrap();
        assert_eq!(documents(&collection, USER).await, [0, 6, 7]);
    });
    stage.crash_after(async |collection| {
        assert_eq!(documents(&collection, USER).await, [0, 6, 7]);
        assert_eq!(
            documents(&collection, OTHER).await,
            (0..8).collect::<Vec<_>>()
        );
    });
}

#[test]
fn a_flush_of_nothing_and_one_of_removals_alone_move_on_and_trim() {
    let stage = Stage::new();
    stage.crash_after(async |collection| {
        assert_eq!(collection.flush().await.unwrap(), 0);
        collection
            .insert(&[1], &[USER], &vector(1.0))
            .await
            .unwrap();
        collection.remove(&[1], &[USER]).await.unwrap();
        assert_eq!(collection.flush().await.unwrap(), 2);
        collection.remove(&[1, 2], &[USER]).await.unwrap();
        assert_eq!(collection.flush().await.unwrap(), 3);
        assert_eq!(collection.flush().await.unwrap(), 3);
        let stats = collection.stats().await;
        assert_eq!((stats.flushed_seq, stats.trimmed_seq), (3, 3));
        assert_eq!(stats.memory_rows, 0);
    });
    stage.crash_after(async |collection| {
        let stats = collection.stats().await;
        assert_eq!((stats.visible_seq, stats.trimmed_seq), (3, 3));
    });
}

/// Memory is full in the middle of it, and a flush there would publish a position that covers the whole.
#[test]
fn an_operation_larger_than_memory_is_flushed_whole() {
    let mut stage = Stage::new();
    stage.options.memory_bytes_max = 4 << 10;
    let docs: Vec<u128> = (0..150).collect();
    stage.crash_after(async |collection| {
        let vectors = [1.0; 150 * DIMENSION];
        collection.insert(&docs, &[USER], &vectors).await.unwrap();
        assert_eq!(documents(&collection, USER).await, docs);
        collection.remove(&docs[1..], &[USER]).await.unwrap();
        assert_eq!(documents(&collection, USER).await, [0]);
    });
    stage.crash_after(async |collection| {
        assert_eq!(documents(&collection, USER).await, [0]);
    });
}

/// The order that everything depends on: segment, its name, manifest, its name, and only then the trim.
#[test]
fn a_segment_and_the_manifest_are_durable_before_the_log_is_trimmed() {
    let disk = Disk::default();
    let mut stage = Stage::new();
    stage.storage = disk.storage();
    stage.crash_after(async |collection| {
        collection
            .insert(&[1], &[USER], &vector(1.0))
            .await
            .unwrap();
        disk.take_journal();
        collection.flush().await.unwrap();
        let journal = disk.take_journal();
        let mut rest = journal.iter();
        for step in [
            "create 0000000000000000.segment",
            "write 0000000000000000.segment",
            "sync 0000000000000000.segment",
            "sync-dir data",
            "create MANIFEST.new",
            "write MANIFEST.new",
            "sync MANIFEST.new",
            "rename MANIFEST",
            "sync-dir data",
            // The trim's frame.
            "overwrite log",
            "sync log",
        ] {
            assert!(
                rest.any(|done| done == step),
                "no {step} in its place: {journal:#?}"
            );
        }
    });
}

#[test]
fn memory_is_flushed_when_it_is_full_and_segments_are_merged_when_they_are_many() {
    let stage = Stage::new();
    stage.crash_after(async |collection| {
        let mut segments_max = 0;
        for doc in 0..2000 {
            let seq = collection
                .insert(&[doc], &[USER], &vector(1.0))
                .await
                .unwrap();
            if doc % 100 == 0 {
                let query = vector(0.0);
                let found = collection.search(USER, &query, 1, Some(seq), false).await;
                assert!(found.unwrap().seen_below > seq);
                let stats = collection.stats().await;
                segments_max = segments_max.max(stats.segments.len());
                // One batch over the limit at most.
                assert!(stats.memory_bytes < 4096 + 1024 * 200, "{stats:?}");
            }
        }
        collection.flush().await.unwrap();
        let flushes = collection.stats().await;
        // Ids count segments; merges are among them.
        let (newest, _, _) = *flushes.segments.last().unwrap();
        assert!(newest > 20, "{flushes:?}");
        assert!(segments_max < 20, "{segments_max}");
        let mut docs = documents(&collection, USER).await;
        docs.dedup();
        assert_eq!(docs.len(), 1000, "as many as were asked for");
    });
    stage.crash_after(async |collection| {
        // What merges and crashes left behind is gone.
        let stats = collection.stats().await;
        assert_eq!(stage.segment_files().len(), stats.segments.len());
        let rows: u64 = stats.segments.iter().map(|(_, rows, _)| rows).sum();
        assert_eq!(rows + stats.memory_rows as u64, 2000);
    });
}
