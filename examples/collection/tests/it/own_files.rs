//! What is removed from the directory, what is left alone, and where the directory is.
//!
//! On start every `*.segment` that the manifest did not name was removed without a word: a backup that was
//! put beside the others, or a segment copied from another collection, was gone.

use std::fmt::Write;
use std::fs;
use std::sync::{Arc, Mutex};

use collection::{Blocking, Collection};

use crate::disk::{Disk, Trouble};
use crate::stage::{Stage, USER, documents, vector};

async fn insert_and_flush(collection: &Collection, doc: u128) {
    let inserted = collection.insert(&[doc], &[USER], &vector(1.0)).await;
    inserted.unwrap();
    collection.flush().await.unwrap();
}

/// Two segments, with the ids 0 and 1.
fn prepare() -> Stage {
    let mut stage = Stage::new();
    // Nothing is merged.
    stage.options.merge_width = 100;
    stage.crash_after(async |collection| {
        insert_and_flush(&collection, 1).await;
        insert_and_flush(&collection, 2).await;
    });
    stage
}

#[test]
fn what_an_interrupted_flush_left_is_removed() {
    let disk = Disk::default();
    let mut stage = prepare();
    stage.storage = disk.storage();
    stage.crash_after(async |collection| {
        collection
            .insert(&[3], &[USER], &vector(1.0))
            .await
            .unwrap();
        // The flush is tried again and again; with each attempt the file has the next id.
        disk.set(Trouble::SyncsFail(".segment"));
        collection.flush().await.unwrap_err();
    });
    disk.set(Trouble::None);
    // As if the process had ended in the middle of the attempt.
    let leftovers = ["0000000000000002.segment", "MANIFEST.new"].map(|name| stage.dir().join(name));
    for leftover in &leftovers {
        fs::write(leftover, "half of it").unwrap();
    }
    disk.take_journal();
    stage.crash_after(async |collection| {
        assert_eq!(documents(&collection, USER).await, [1, 2, 3]);
        assert_eq!(collection.unknown_files(), [""; 0]);
    });
    assert!(leftovers.iter().all(|leftover| !leftover.exists()));
    // The manifest that was read may not be durable yet, if its directory could not be synced: what the
    // one before it needs must not go first.
    let journal = disk.take_journal();
    let place = |step: &str| journal.iter().position(|done| done == step);
    let (synced, removed) = (
        place("sync-dir data"),
        place("remove 0000000000000002.segment"),
    );
    assert!(removed.is_some() && synced < removed, "{journal:#?}");
    assert!(synced.is_some(), "{journal:#?}");
}

/// Collects the warnings of a thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Text<'a>(&'a mut String);

impl tracing::field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn files_that_are_not_the_collections_stay_and_are_reported_once() {
    let mut stage = prepare();
    // On this thread, so that the warnings are this test's.
    stage.options.blocking = Blocking::Inline;
    let mut names = [
        "backup.segment",
        "notes.txt",
        "MANIFEST.old",
        "0000000000000000.segment.bak",
        // Numbers below the manifest's, and not as the collection writes them.
        "0.segment",
        "+000000000000001.segment",
        "00000000000000000.segment",
        // The next id, and others that were never given out.
        "0000000000000002.segment",
        "000000000000000A.segment",
        "00000000000000ff.segment",
    ];
    names.sort_unstable();
    let original = fs::read(&stage.segment_files()[0]).unwrap();
    for name in names {
        fs::write(stage.dir().join(name), &original).unwrap();
    }
    for _ in 0..2 {
        let warnings = Warnings::default();
        let dispatch = tracing::Dispatch::new(warnings.clone());
        tracing::dispatcher::with_default(&dispatch, || {
            stage.crash_after(async |collection| {
                assert_eq!(collection.unknown_files(), names);
                assert_eq!(documents(&collection, USER).await, [1, 2]);
            });
        });
        for name in names {
            let kept = fs::read(stage.dir().join(name)).unwrap();
            assert_eq!(kept, original, "{name}");
        }
        let warnings = warnings.0.lock().unwrap();
        let about = warnings
            .iter()
            .filter(|text| text.contains("backup.segment"));
        assert_eq!(about.count(), 1, "{warnings:?}");
    }
}

/// A new segment never takes the place of a copied one, nor does the copy count as left over once the
/// manifest has passed its id.
#[test]
fn a_copied_segment_stays_when_its_id_is_reached() {
    let stage = prepare();
    let original = fs::read(&stage.segment_files()[0]).unwrap();
    let copies = ["0000000000000002.segment", "0000000000000004.segment"];
    let copies = copies.map(|name| stage.dir().join(name));
    fs::write(&copies[0], &original).unwrap();
    stage.crash_after(async |collection| {
        insert_and_flush(&collection, 3).await;
        // Copied while the collection is open.
        fs::write(&copies[1], &original).unwrap();
        for doc in 4..7 {
            insert_and_flush(&collection, doc).await;
        }
        let stats = collection.stats().await;
        let ids: Vec<u64> = stats.segments.iter().map(|(id, _, _)| *id).collect();
        assert_eq!(ids, [0, 1, 3, 5, 6, 7]);
    });
    for _ in 0..2 {
        stage.crash_after(async |collection| {
            assert_eq!(documents(&collection, USER).await, [1, 2, 3, 4, 5, 6]);
            assert_eq!(collection.unknown_files().len(), 2);
        });
        for copy in &copies {
            assert_eq!(fs::read(copy).unwrap(), original);
        }
    }
}

/// Between the look at the name and the making of the file.
#[test]
fn a_segment_that_is_copied_in_the_last_moment_stays() {
    let disk = Disk::default();
    let mut stage = prepare();
    stage.storage = disk.storage();
    stage.crash_after(async |collection| {
        collection
            .insert(&[3], &[USER], &vector(1.0))
            .await
            .unwrap();
        disk.set(Trouble::SegmentsAppear);
        let failed = collection.flush().await.unwrap_err().to_string();
        assert!(failed.contains("0000000000000002.segment"), "{failed}");
        disk.set(Trouble::None);
        collection.flush().await.unwrap();
    });
    stage.crash_after(async |collection| {
        assert_eq!(collection.unknown_files(), ["0000000000000002.segment"]);
        assert_eq!(documents(&collection, USER).await, [1, 2, 3]);
    });
    let copy = stage.dir().join("0000000000000002.segment");
    assert_eq!(fs::read(copy).unwrap(), b"copied");
}

#[test]
fn a_directory_that_is_renamed_goes_on_where_it_is() {
    let mut stage = Stage::new();
    stage.options.merge_width = 2;
    let (old, new) = (stage.dir(), stage.dir().with_file_name("renamed"));
    stage.crash_after(async |collection| {
        insert_and_flush(&collection, 0).await;
        fs::rename(&old, &new).unwrap();
        // Another directory gets the path meanwhile.
        fs::create_dir(&old).unwrap();
        for doc in 1..20 {
            insert_and_flush(&collection, doc).await;
        }
        let docs: Vec<u128> = (0..20).collect();
        assert_eq!(documents(&collection, USER).await, docs);
        collection.close().await.unwrap();
        assert_eq!(fs::read_dir(&old).unwrap().count(), 0);
        fs::remove_dir(&old).unwrap();
        fs::rename(&new, &old).unwrap();
    });
    stage.crash_after(async |collection| {
        let docs: Vec<u128> = (0..20).collect();
        assert_eq!(documents(&collection, USER).await, docs);
        let stats = collection.stats().await;
        assert!(stats.segments.len() < 20, "some were merged");
        assert_eq!(stage.segment_files().len(), stats.segments.len());
    });
}
