//! A collection is opened with its own log only.
//!
//! After `rm -rf data/log` before the first flush it served, empty, without a word; and with another
//! collection's log it mixed the results of both. The manifest has the log's id since then.

use std::fs;
use std::path::PathBuf;

use collection::{AcceptLog, Collection, Error, Options};
use groupwal::salvage::Salvage;
use groupwal::{Builder, Insert};

use crate::stage::{Stage, USER, config, documents, runtime, vector};

async fn insert(collection: &Collection, docs: std::ops::Range<u128>) {
    for doc in docs {
        let inserted = collection.insert(&[doc], &[USER], &vector(1.0)).await;
        inserted.unwrap();
    }
}

fn log(stage: &Stage) -> PathBuf {
    stage.dir().join("log")
}

/// Documents 0 and 1 in a segment, 2 and 3 in the log.
fn prepare() -> Stage {
    let stage = Stage::new();
    stage.crash_after(async |collection| {
        insert(&collection, 0..2).await;
        collection.flush().await.unwrap();
        insert(&collection, 2..4).await;
    });
    stage
}

fn refusal(stage: &Stage) -> Error {
    let refused = runtime().block_on(stage.try_open()).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains(&log(stage).display().to_string()), "{text}");
    refused
}

fn assert_documents(stage: &Stage, expected: &[u128]) {
    stage.crash_after(async |collection| assert_sees(&collection, expected).await);
}

async fn assert_sees(collection: &Collection, expected: &[u128]) {
    if expected.is_empty() {
        // Not even the user is known.
        assert_eq!(collection.stats().await.durable_seq, 0);
    } else {
        assert_eq!(documents(collection, USER).await, expected);
    }
}

/// Starts once with the loss accepted, then goes on as ever.
fn accept_loss(stage: &mut Stage, left: &[u128]) {
    stage.options.accept_log = AcceptLog::Lost;
    assert_documents(stage, left);
    stage.options.accept_log = AcceptLog::Own;
    stage.crash_after(async |collection| {
        assert_sees(&collection, left).await;
        insert(&collection, 10..12).await;
        collection.flush().await.unwrap();
        insert(&collection, 12..13).await;
    });
    let docs: Vec<u128> = left.iter().copied().chain(10..13).collect();
    assert_documents(stage, &docs);
}

#[test]
fn a_collection_is_not_served_without_its_log() {
    for (is_flushed, position) in [(false, "number 0"), (true, "number 2")] {
        let mut stage = Stage::new();
        if is_flushed {
            stage = prepare();
        } else {
            stage.crash_after(async |collection| insert(&collection, 0..4).await);
        }
        let elsewhere = stage.dir().with_file_name("elsewhere");
        fs::rename(log(&stage), &elsewhere).unwrap();
        for _ in 0..2 {
            let refused = refusal(&stage);
            assert!(refused.is_log_lost() && refused.to_string().contains(position));
            assert!(!log(&stage).exists(), "nothing was created");
        }
        // What the refusal says: put it back.
        fs::rename(&elsewhere, log(&stage)).unwrap();
        assert_documents(&stage, &[0, 1, 2, 3]);
        // Or accept the loss.
        fs::remove_dir_all(log(&stage)).unwrap();
        assert!(refusal(&stage).to_string().contains("--accept-lost-log"));
        accept_loss(&mut stage, if is_flushed { &[0, 1] } else { &[] });
    }
}

/// The directory is there with its LOCK, and the segments are gone.
#[test]
fn a_log_that_has_lost_its_files_is_refused_and_the_loss_can_be_accepted() {
    let mut stage = prepare();
    for file in fs::read_dir(log(&stage)).unwrap() {
        let path = file.unwrap().path();
        if !path.ends_with("LOCK") {
            fs::remove_file(path).unwrap();
        }
    }
    let refused = refusal(&stage);
    assert!(refused.is_corruption());
    assert!(refused.to_string().contains("--accept-lost-log"));
    accept_loss(&mut stage, &[0, 1]);
}

#[test]
fn another_collections_log_is_refused() {
    let (mut stage, other) = (prepare(), Stage::new());
    other.crash_after(async |collection| insert(&collection, 100..104).await);
    let own = stage.dir().with_file_name("own");
    fs::rename(log(&stage), &own).unwrap();
    fs::rename(log(&other), log(&stage)).unwrap();
    let refused = refusal(&stage);
    assert!(refused.is_log_lost() && refused.to_string().contains("is not the collection's"));
    // Accepting a loss accepts no other collection's operations.
    stage.options.accept_log = AcceptLog::Lost;
    assert!(refusal(&stage).is_log_lost());
    stage.options.accept_log = AcceptLog::Own;
    // What the refusal says: put its own in its place.
    fs::rename(log(&stage), log(&other)).unwrap();
    fs::rename(&own, log(&stage)).unwrap();
    assert_documents(&stage, &[0, 1, 2, 3]);
    assert_documents(&other, &[100, 101, 102, 103]);
    // Or, if that is lost, move the other away and accept the loss.
    fs::remove_dir_all(log(&stage)).unwrap();
    fs::rename(log(&other), log(&stage)).unwrap();
    refusal(&stage);
    fs::rename(log(&stage), log(&other)).unwrap();
    accept_loss(&mut stage, &[0, 1]);
}

#[test]
fn a_salvaged_log_is_adopted_when_that_is_asked_for() {
    let mut stage = prepare();
    let salvaged = stage.dir().with_file_name("salvaged");
    let survey = Salvage::survey(log(&stage), &mut |_| true).unwrap();
    survey.write(&salvaged, &mut |_| true).unwrap();
    fs::remove_dir_all(log(&stage)).unwrap();
    fs::rename(&salvaged, log(&stage)).unwrap();
    assert!(refusal(&stage).to_string().contains("--adopt-log"));
    stage.options.accept_log = AcceptLog::Other;
    assert_documents(&stage, &[0, 1, 2, 3]);
    // Once is enough.
    stage.options.accept_log = AcceptLog::Own;
    assert_documents(&stage, &[0, 1, 2, 3]);
}

/// What a salvage makes of a log with damage in its middle: operations 2 and 3 of six are lost.
#[test]
fn a_salvaged_log_with_a_hole_is_adopted_when_that_is_asked_for() {
    let mut stage = Stage::new();
    stage.crash_after(async |collection| insert(&collection, 0..6).await);
    let salvaged = stage.dir().with_file_name("salvaged");
    let options = groupwal::Options::default();
    let mut builder = Builder::create(&salvaged, 0, &options).unwrap();
    let push = |builder: &mut Builder, docs: std::ops::Range<u128>| {
        for doc in docs {
            let insert = Insert {
                doc_ids: &[doc],
                user_ids: &[USER],
                vectors: &vector(1.0),
            };
            builder.push(&insert).unwrap();
        }
    };
    push(&mut builder, 0..2);
    builder.push_lost(2).unwrap();
    push(&mut builder, 4..6);
    builder.finish().unwrap();
    fs::remove_dir_all(log(&stage)).unwrap();
    fs::rename(&salvaged, log(&stage)).unwrap();
    assert!(refusal(&stage).to_string().contains("--adopt-log"));
    // A manifest without the log's id does not notice it, but for the hole.
    let whole = fs::read(stage.dir().join("MANIFEST")).unwrap();
    as_version_1(&stage);
    let refused = runtime().block_on(stage.try_open()).unwrap_err();
    assert!(refused.to_string().contains("--adopt-log"), "{refused}");
    fs::write(stage.dir().join("MANIFEST"), whole).unwrap();
    stage.options.accept_log = AcceptLog::Other;
    assert_documents(&stage, &[0, 1, 4, 5]);
    // Once is enough.
    stage.options.accept_log = AcceptLog::Own;
    assert_documents(&stage, &[0, 1, 4, 5]);
}

/// Replaces the manifest's line of JSON.
fn rewrite_manifest(stage: &Stage, change: impl FnOnce(&mut serde_json::Value)) {
    let path = stage.dir().join("MANIFEST");
    let text = fs::read_to_string(&path).unwrap();
    let mut manifest = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    change(&mut manifest);
    let json = manifest.to_string();
    let checksum = crc_fast::crc64_nvme(json.as_bytes());
    fs::write(path, format!("{json}\n{checksum:016x}\n")).unwrap();
}

fn version(stage: &Stage) -> u64 {
    let text = fs::read_to_string(stage.dir().join("MANIFEST")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    manifest["version"].as_u64().unwrap()
}

/// As it was written before the manifest had the log's id.
fn as_version_1(stage: &Stage) {
    rewrite_manifest(stage, |manifest| {
        let fields = manifest.as_object_mut().unwrap();
        fields.remove("log_id").unwrap();
        fields.remove("skipped_segments").unwrap();
        fields.insert("version".into(), 1.into());
    });
}

#[test]
fn a_manifest_without_the_logs_id_opens_and_gets_it_with_the_next_flush() {
    let stage = prepare();
    as_version_1(&stage);
    assert_documents(&stage, &[0, 1, 2, 3]);
    assert_eq!(version(&stage), 1, "opening changes nothing");
    stage.crash_after(async |collection| {
        insert(&collection, 4..5).await;
        collection.flush().await.unwrap();
    });
    assert_eq!(version(&stage), 2);
    assert_documents(&stage, &[0, 1, 2, 3, 4]);
    let other = Stage::new();
    other.crash_after(async |collection| insert(&collection, 100..110).await);
    fs::remove_dir_all(log(&stage)).unwrap();
    fs::rename(log(&other), log(&stage)).unwrap();
    assert!(refusal(&stage).is_log_lost());

    // There was a log before there was a manifest, of any version.
    let mut stage = prepare();
    as_version_1(&stage);
    fs::remove_dir_all(log(&stage)).unwrap();
    assert!(refusal(&stage).is_log_lost());
    accept_loss(&mut stage, &[0, 1]);
}

#[test]
fn a_manifest_of_a_later_version_is_not_called_damaged() {
    let stage = prepare();
    rewrite_manifest(&stage, |manifest| {
        *manifest = serde_json::json!({ "version": 3, "unheard_of": [] });
    });
    let refused = runtime().block_on(stage.try_open()).unwrap_err();
    assert!(!refused.is_corruption(), "{refused}");
    assert!(refused.to_string().contains("version 3"), "{refused}");
    assert!(refused.to_string().contains("use a newer one"), "{refused}");
}

/// `list`, and the first look of `serve`, made a directory and a log in it.
#[test]
fn nothing_is_created_where_no_new_collection_was_asked_for() {
    let stage = Stage::new();
    runtime().block_on(async {
        let opened = Collection::open(stage.dir(), None, Options::default()).await;
        assert!(opened.unwrap_err().is_missing());
        assert!(!stage.dir().exists());
        let config = config(stage.metric);
        let opened = Collection::open(stage.dir(), Some(config), Options::default()).await;
        opened.unwrap().close().await.unwrap();
    });
}
