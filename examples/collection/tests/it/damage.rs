//! Bytes on the disk that are not what was written: an error, never a panic, never a wrong answer.

use std::fs;
use std::path::Path;

use crate::stage::{Stage, USER, copy_files, runtime, vector};

/// Two segments, and an operation in the log.
fn prepare() -> Stage {
    let mut stage = Stage::new();
    // They stay two.
    stage.options.merge_width = 4;
    stage.crash_after(async |collection| {
        for doc in [1, 2] {
            collection
                .insert(&[doc], &[USER, 8], &vector(1.0))
                .await
                .unwrap();
            collection.flush().await.unwrap();
        }
        collection
            .insert(&[3], &[USER], &vector(3.0))
            .await
            .unwrap();
        collection.close().await.unwrap();
    });
    stage
}

/// Opens it and looks at everything; whether an error said what is damaged.
fn notices(stage: &Stage, path: &Path, what: &str) -> bool {
    let outcome = runtime().block_on(async {
        let collection = stage.try_open().await?;
        let found = collection
            .search(USER, &vector(0.0), 10, Some(2), false)
            .await?;
        collection.close().await?;
        Ok::<_, collection::Error>(found.hits.iter().map(|hit| hit.doc).collect::<Vec<_>>())
    });
    match outcome {
        Err(error) => {
            assert!(error.is_corruption(), "{what}: {error}");
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(error.to_string().contains(&*name), "{what}: {error}");
            true
        }
        Ok(docs) => {
            assert_eq!(docs, [1, 2, 3], "{what}");
            false
        }
    }
}

#[test]
fn every_flipped_byte_of_manifest_and_segment_is_noticed() {
    let stage = prepare();
    let paths = [
        stage.dir().join("MANIFEST"),
        stage.segment_files()[0].clone(),
    ];
    for path in &paths {
        let whole = fs::read(path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(path, &damaged).unwrap();
            let what = format!("byte {at} of {}", path.display());
            assert!(notices(&stage, path, &what), "{what} was not noticed");
        }
        fs::write(path, &whole).unwrap();
    }
    assert!(!notices(&stage, &paths[0], "restored"));
}

#[test]
fn a_manifest_or_a_segment_that_is_cut_short_is_noticed() {
    let stage = prepare();
    let paths = [
        stage.dir().join("MANIFEST"),
        stage.segment_files()[0].clone(),
    ];
    for path in &paths {
        let whole = fs::read(path).unwrap();
        for len in (0..whole.len()).step_by(7) {
            fs::write(path, &whole[..len]).unwrap();
            let what = format!("{len} bytes of {}", path.display());
            assert!(notices(&stage, path, &what), "{what} were enough");
        }
        fs::write(path, &whole).unwrap();
    }
}

#[test]
fn a_log_without_its_manifest_or_behind_it_is_refused() {
    let stage = prepare();
    let manifest = stage.dir().join("MANIFEST");
    let whole = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert!(notices(&stage, &manifest, "no manifest"));
    fs::write(&manifest, whole).unwrap();
    // The log as it was before the manifest said that it goes up to operation 2.
    let early = Stage::new();
    let copy = early.dir().join("copy");
    early.crash_after(async |collection| {
        for doc in [1, 2] {
            let inserted = collection.insert(&[doc], &[USER], &vector(1.0)).await;
            inserted.unwrap();
            if doc == 1 {
                copy_files(&early.dir().join("log"), &copy);
            }
        }
        collection.flush().await.unwrap();
        collection.close().await.unwrap();
    });
    fs::remove_dir_all(early.dir().join("log")).unwrap();
    fs::rename(copy, early.dir().join("log")).unwrap();
    let refused = runtime().block_on(early.try_open()).unwrap_err();
    assert!(refused.is_corruption());
    assert!(
        refused
            .to_string()
            .contains("up to operation 2, and the log holds those from 0 to 1"),
        "{refused}"
    );
}

#[test]
fn segments_without_a_manifest_are_refused() {
    let stage = prepare();
    fs::remove_dir_all(stage.dir().join("log")).unwrap();
    let manifest = stage.dir().join("MANIFEST");
    let copy = stage.dir().join("copy");
    fs::rename(&manifest, &copy).unwrap();
    assert!(notices(&stage, &manifest, "segments and nothing else"));
    assert_eq!(stage.segment_files().len(), 2);
}
