//! Disks that fail, and what a caller is told.

use std::time::Duration;

use collection::server::ServeOptions;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::disk::{Disk, Trouble};
use crate::stage::{Server, Stage, USER, documents, runtime, vector};

/// The service's name, as health is asked about it.
const SERVICE: &str = "collection.v1.Collection";

fn stage() -> (Disk, Stage) {
    let disk = Disk::default();
    let mut stage = Stage::new();
    stage.storage = disk.storage();
    (disk, stage)
}

async fn health(server: &Server) -> ServingStatus {
    let mut client = HealthClient::new(server.channel().await);
    let service = SERVICE.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await.unwrap();
    answer.into_inner().status()
}

#[test]
fn a_poisoned_log_is_unavailable_reads_go_on_and_a_restart_helps() {
    let (disk, stage) = stage();
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        client
            .insert(&[1], &[USER], vector(1.0).to_vec())
            .await
            .unwrap();
        assert_eq!(health(&server).await, ServingStatus::Serving);
        disk.set(Trouble::SyncsFail("log"));
        let failed = client
            .insert(&[2], &[USER], vector(2.0).to_vec())
            .await
            .unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable, "{failed}");
        assert!(failed.message().contains("outcome is unknown"), "{failed}");
        disk.set(Trouble::None);
        // A sync that works again proves nothing.
        let failed = client
            .insert(&[3], &[USER], vector(3.0).to_vec())
            .await
            .unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable, "{failed}");
        assert!(failed.message().contains("poisoned"), "{failed}");
        assert_eq!(health(&server).await, ServingStatus::NotServing);
        let found = client
            .search(USER, vector(1.0).to_vec(), 10, Some(0), false)
            .await
            .unwrap();
        assert_eq!(found.hits.len(), 1);
        let ended = server.begin_to_stop().await.unwrap();
        assert!(ended.unwrap_err().to_string().contains("poisoned"));
    });
    stage.crash_after(async |collection| {
        collection
            .insert(&[4], &[USER], &vector(4.0))
            .await
            .unwrap();
        let docs = documents(&collection, USER).await;
        // Document 2 may be there or not; 3 was refused.
        assert!(docs == [1, 4] || docs == [1, 2, 4], "{docs:?}");
    });
}

#[test]
fn a_full_disk_refuses_inserts_until_there_is_room() {
    let (disk, mut stage) = stage();
    // Memory holds everything: it is the log that needs room.
    stage.options.memory_bytes_max = 1 << 20;
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        disk.set(Trouble::Full);
        let (mut acked, mut refused) = (0, None);
        // The file at hand is written over; the next one cannot be made.
        while refused.is_none() && acked < 1000 {
            match client.insert(&[acked], &[USER], vector(1.0).to_vec()).await {
                Ok(_) => acked += 1,
                Err(status) => refused = Some(status),
            }
        }
        let refused = refused.expect("the file at hand holds fewer");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("free some space"), "{refused}");
        disk.set(Trouble::None);
        client
            .insert(&[acked], &[USER], vector(1.0).to_vec())
            .await
            .unwrap();
        let docs: Vec<u128> = (0..=acked).collect();
        assert_eq!(documents(&server.collection, USER).await, docs);
        server.stop().await;
    });
}

#[test]
fn a_flush_on_a_full_disk_is_tried_again_until_there_is_room() {
    let (disk, stage) = stage();
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        client
            .insert(&[1], &[USER], vector(1.0).to_vec())
            .await
            .unwrap();
        disk.set(Trouble::Full);
        let refused = client.flush().await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(client.stats().await.unwrap().flush_error.contains("create"));
        assert_eq!(documents(&server.collection, USER).await, [1]);
        // More than memory takes: it is durable, and waits in the log.
        let mut last = 0;
        for doc in 2..60 {
            match client.insert(&[doc], &[USER], vector(1.0).to_vec()).await {
                Ok(seq) => last = seq,
                // The log's file is full as well.
                Err(refused) => {
                    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
                    break;
                }
            }
        }
        let stuck = client
            .search(USER, vector(0.0).to_vec(), 1, Some(last), false)
            .await;
        if let Err(stuck) = stuck {
            assert_eq!(stuck.code(), Code::ResourceExhausted, "{stuck}");
        }
        disk.set(Trouble::None);
        // By itself: nobody asks for a flush.
        loop {
            let stats = client.stats().await.unwrap();
            if stats.flush_error.is_empty() && stats.visible_seq > last {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(client.stats().await.unwrap().segments.len(), 1);
        server.stop().await;
    });
}

/// Memory is full, nothing can be flushed, and inserts go on: they are durable, and wait in the log; but not
/// without end.
#[test]
fn inserts_are_refused_when_too_much_waits_to_be_taken_in() {
    let (disk, mut stage) = stage();
    stage.options.lag_max = 10;
    stage.options.log = stage.options.log.segment_bytes(1 << 20);
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        disk.set(Trouble::SyncsFail(".segment"));
        let (mut acked, mut refused) = (0, None);
        while refused.is_none() && acked < 1000 {
            match client.insert(&[acked], &[USER], vector(1.0).to_vec()).await {
                Ok(_) => acked += 1,
                Err(status) => refused = Some(status),
            }
        }
        let refused = refused.expect("memory holds fewer");
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains("taken into memory"), "{refused}");
        let stats = client.stats().await.unwrap();
        assert_eq!(stats.durable_seq - stats.visible_seq, 10);
        // By itself, when the disk works again.
        disk.set(Trouble::None);
        while client
            .insert(&[acked], &[USER], vector(1.0).to_vec())
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
        let docs: Vec<u128> = (0..=acked).collect();
        assert_eq!(documents(&server.collection, USER).await, docs);
        server.stop().await;
    });
}

/// A file that could not be synced is given up, and a new one written: that is no retry of the sync.
#[test]
fn a_flush_that_failed_before_the_manifest_was_renamed_can_be_repeated() {
    let (disk, stage) = stage();
    stage.crash_after(async |collection| {
        for (doc, trouble) in [
            (1, Trouble::SyncsFail(".segment")),
            (2, Trouble::DirectorySyncsFail),
            (3, Trouble::SyncsFail("MANIFEST.new")),
        ] {
            collection
                .insert(&[doc], &[USER], &vector(1.0))
                .await
                .unwrap();
            disk.set(trouble);
            let failed = collection.flush().await.unwrap_err();
            assert!(
                !failed.is_unavailable(),
                "the old manifest is in force: {failed}"
            );
            disk.set(Trouble::None);
            assert_eq!(
                collection.stats().await.trimmed_seq,
                u64::try_from(doc - 1).unwrap()
            );
            assert_eq!(
                collection.flush().await.unwrap(),
                u64::try_from(doc).unwrap()
            );
        }
        assert_eq!(documents(&collection, USER).await, [1, 2, 3]);
    });
    stage.crash_after(async |collection| {
        assert_eq!(documents(&collection, USER).await, [1, 2, 3]);
    });
}

/// After a rename whose directory could not be synced, nobody knows which manifest a crash leaves: both must
/// go on to be true, so nothing is published, trimmed or removed any more.
#[test]
fn a_manifest_of_which_nobody_knows_stops_flushing_and_keeps_the_log() {
    let (disk, stage) = stage();
    stage.crash_after(async |collection| {
        collection
            .insert(&[1], &[USER], &vector(1.0))
            .await
            .unwrap();
        collection.flush().await.unwrap();
        collection
            .insert(&[2], &[USER], &vector(2.0))
            .await
            .unwrap();
        disk.set(Trouble::SyncAfterRenameFails);
        let failed = collection.flush().await.unwrap_err();
        assert!(failed.is_unavailable(), "{failed}");
        disk.set(Trouble::None);
        disk.take_journal();
        let failed = collection.flush().await.unwrap_err();
        assert!(
            failed.to_string().contains("restart the server"),
            "{failed}"
        );
        assert_eq!(disk.take_journal(), [""; 0], "nothing was touched");
        assert_eq!(collection.stats().await.trimmed_seq, 1);
        // The log takes more; so does memory, while there is room.
        collection
            .insert(&[3], &[USER], &vector(3.0))
            .await
            .unwrap();
        assert_eq!(documents(&collection, USER).await, [1, 2, 3]);
        for doc in 4..100 {
            collection
                .insert(&[doc], &[USER], &vector(3.0))
                .await
                .unwrap();
        }
        let stuck = collection
            .search(USER, &vector(0.0), 1, Some(98), false)
            .await;
        assert!(stuck.unwrap_err().is_unavailable());
    });
    stage.crash_after(async |collection| {
        let docs: Vec<u128> = (1..100).collect();
        assert_eq!(documents(&collection, USER).await, docs);
    });
}

/// The task that takes operations in panicked, and requests that waited for it waited for ever.
#[test]
fn a_panic_where_operations_are_taken_in_is_told_to_those_who_wait() {
    let (disk, stage) = stage();
    runtime().block_on(async {
        let collection = stage.open().await;
        disk.set(Trouble::LogReadsPanic);
        let query = vector(1.0);
        let seq = collection.insert(&[1], &[USER], &query).await.unwrap();
        let search = collection.search(USER, &query, 1, Some(seq), false);
        let waited = timeout(Duration::from_secs(30), search).await;
        let failed = waited.expect("it does not wait for ever").unwrap_err();
        assert!(failed.is_unavailable(), "{failed}");
        assert!(failed.to_string().contains("panicked"), "{failed}");
        disk.set(Trouble::None);
    });
}
