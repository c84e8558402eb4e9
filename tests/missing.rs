//! Files of a log are missing.
//!
//! A directory whose segments had all been removed opened as a new log that began again at number 0, also
//! beside a LOCK and the spare file of a former segment; and a log that had been closed opened without its
//! newest segments.

mod support;

use std::sync::Arc;

use groupwal::inspect::Reader;
use groupwal::salvage::Salvage;
use groupwal::{Create, Error, Options, Storage, Wal};
use support::fault::Plan;
use support::image::{frames, segment_name, segment_names, spare_names};
use support::mem::{Image, MemStorage};
use support::tiny::{
    DIR, append_all, contents, open, open_with, options, payload, payloads, ready,
};

/// The files of a log of 40 entries in 6 segments, the first 10 entries trimmed.
fn image(closed: bool) -> Image {
    image_of(10, closed)
}

fn image_of(trimmed: u64, closed: bool) -> Image {
    let storage = MemStorage::new(1);
    let options = options().spare_segments_max(1);
    let wal = open_with(Arc::new(storage.clone()), options).unwrap();
    append_all(&wal, 0..40);
    ready(wal.trim(trimmed)).unwrap();
    if closed {
        ready(wal.close()).unwrap();
    }
    drop(wal);
    storage.snapshot()
}

fn without(image: &Image, gone: &[String]) -> Image {
    let mut image = image.clone();
    image.retain(|name, _| !gone.contains(name));
    image
}

fn open_as(image: &Image, options: Options) -> (MemStorage, Result<Wal, Error>) {
    let storage = MemStorage::from_snapshot(image, 7);
    let opened = open_with(Arc::new(storage.clone()), options);
    (storage, opened)
}

/// Opening is refused, a reader says the same, and nothing has been changed.
#[track_caller]
fn refused(image: &Image) -> Error {
    let (storage, opened) = open_as(image, options());
    let error = opened.unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert_eq!(storage.snapshot(), *image, "something was changed");
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let read = Reader::open_with(&storage, DIR).and_then(|mut reader| {
        while reader.next_group()?.is_some() {}
        Ok(reader.report().next_seq)
    });
    match read {
        Err(error) => assert!(error.is_corruption(), "{error}"),
        Ok(next_seq) => panic!("a reader says that all is well up to {next_seq}"),
    }
    error
}

#[test]
fn a_log_that_has_lost_all_its_segments_is_not_a_new_one() {
    for closed in [false, true] {
        let whole = image(closed);
        let image = without(&whole, &segment_names(&whole));
        assert_eq!(spare_names(&image).len(), 1);
        let error = refused(&image);
        let message = error.to_string();
        for part in [DIR, "LOCK says", "no segment", "Create::AfterLoss"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        // The advice: put them back ..
        let (_, opened) = open_as(&whole, options());
        assert_eq!(contents(&opened.unwrap()), payloads(10..40));
        // .. or accept the loss. The next process needs no advice any more.
        let (storage, opened) = open_as(&image, options().create(Create::AfterLoss));
        let wal = opened.unwrap();
        append_all(&wal, 0..3);
        drop(wal);
        assert_eq!(contents(&open(&storage).unwrap()), payloads(0..3));
    }
}

/// However far a new log that replaces a lost one got: the loss has been accepted, or has still to be.
#[test]
fn a_new_log_in_place_of_a_lost_one_may_be_interrupted_anywhere() {
    let whole = image(true);
    let image = without(&whole, &segment_names(&whole));
    let accepting = || options().create(Create::AfterLoss);
    for changes in 1.. {
        let storage = MemStorage::from_snapshot(&image, 7);
        let plan = Plan::default();
        plan.die_after(changes);
        let opened = open_with(plan.over(storage.clone()), accepting());
        if plan.changes() < changes {
            assert!(opened.is_ok() && changes > 5);
            return;
        }
        drop(opened);
        match open_with(Arc::new(storage.clone()), options()) {
            Ok(wal) => append_all(&wal, 0..2),
            Err(error) => assert!(error.is_corruption(), "after {changes}: {error}"),
        }
        let wal = open_with(Arc::new(storage), accepting()).unwrap();
        assert!(wal.durable_seq() <= 2);
    }
}

/// The first opening was interrupted: LOCK is there, perhaps a spare file, and no segment. That is no loss.
#[test]
fn a_first_opening_that_is_interrupted_anywhere_is_no_loss() {
    for changes in 1.. {
        let (plan, storage) = (Plan::default(), MemStorage::new(1));
        plan.die_after(changes);
        let opened = open_with(plan.over(storage.clone()), options());
        if plan.changes() < changes {
            assert!(opened.is_ok() && changes > 5);
            return;
        }
        drop(opened);
        let wal = open(&storage).unwrap_or_else(|error| panic!("after {changes}: {error}"));
        append_all(&wal, 0..3);
    }
}

/// Earlier versions wrote nothing into LOCK. What they have left of a log shows in a spare file that was
/// made for a later segment than the first.
#[test]
fn a_spare_file_shows_that_there_was_a_log() {
    let whole = image(true);
    let mut image = without(&whole, &segment_names(&whole));
    image.insert("LOCK".into(), Vec::new());
    // The only one there is held segment 0; another one, segment 1.
    let (_, opened) = open_as(&image, options());
    assert_eq!(opened.unwrap().durable_seq(), 0);
    image.insert(format!("{:020}.spare", 9), whole[&segment_name(2)].clone());
    let (storage, opened) = open_as(&image, options());
    let error = opened.unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains(".spare was made for a log"));
    assert_eq!(storage.snapshot(), image);
}

#[test]
fn segments_that_are_missing_anywhere_in_a_closed_log_are_noticed() {
    let whole = image(true);
    let names = segment_names(&whole);
    assert_eq!(names.len(), 5);
    for from in 0..names.len() {
        for to in from + 1..=names.len() {
            let error = refused(&without(&whole, &names[from..to]));
            let message = error.to_string();
            assert!(message.contains("missing"), "{from}..{to}: {message}");
        }
    }
}

#[test]
fn a_salvage_of_a_closed_log_without_its_newest_segments_tells_the_loss_and_keeps_the_numbers() {
    let whole = image_of(0, true);
    let names = segment_names(&whole);
    let image = without(&whole, &names[3..]);
    let error = refused(&image);
    assert!(error.to_string().contains("groupwal salvage"), "{error}");
    let kept = frames(&image).last().unwrap().header;
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    std::fs::create_dir(&path).unwrap();
    for (name, bytes) in &image {
        std::fs::write(path.join(name), bytes).unwrap();
    }
    let salvage = Salvage::survey(&path, &mut |_| true).unwrap();
    assert_eq!(salvage.report().lost_entries(), 40 - kept.end_seq());
    assert_eq!(salvage.report().next_seq, 40);
    let rescued = tmp.path().join("rescued");
    salvage.write(&rescued, &mut |_| true).unwrap();
    let wal = ready(Wal::open(&rescued, options())).unwrap();
    assert_eq!(ready(wal.append(&payload(40))).unwrap(), 40);
}

/// What cannot be had: nothing tells how far a log had gone that was not closed.
#[test]
fn the_newest_segment_of_a_log_that_was_not_closed_is_not_missed() {
    let whole = image_of(0, false);
    let names = segment_names(&whole);
    let image = without(&whole, &names[names.len() - 1..]);
    let wal = open(&MemStorage::from_snapshot(&image, 7)).unwrap();
    assert!(wal.durable_seq() < 40);
}

/// How far the log was when it was closed stays true when it goes on.
#[test]
fn a_log_that_goes_on_after_it_was_closed_may_trim_all_that_was_there() {
    let storage = MemStorage::from_snapshot(&image(true), 7);
    for round in 0..4 {
        let wal = open(&storage).unwrap();
        let first = wal.durable_seq();
        append_all(&wal, first..first + 20);
        ready(wal.trim(first + 15)).unwrap();
        if round % 2 == 0 {
            ready(wal.close()).unwrap();
        }
        drop(wal);
        assert_eq!(
            contents(&open(&storage).unwrap()),
            payloads(first + 15..first + 20)
        );
    }
}

/// The seal says nothing of entries: a log that has lost only that is whole.
#[test]
fn damage_to_the_seal_alone_costs_nothing() {
    let mut image = image(true);
    let seal = frames(&image).pop().unwrap();
    assert!(seal.header.seal);
    image.get_mut(&seal.file).unwrap()[seal.offset + 9] ^= 1;
    let wal = open(&MemStorage::from_snapshot(&image, 7)).unwrap();
    assert_eq!(contents(&wal), payloads(10..40));
}

#[test]
fn a_log_without_records_in_lock_opens_and_gets_them() {
    for content in [vec![], vec![0; 4096], vec![0xa5; 4096], b"4711\n".to_vec()] {
        let mut image = image(true);
        image.insert("LOCK".into(), content);
        let (storage, opened) = open_as(&image, options());
        let wal = opened.unwrap();
        assert_eq!(contents(&wal), payloads(10..40));
        drop(wal);
        let image = storage.snapshot();
        refused(&without(&image, &segment_names(&image)));
    }
}

#[test]
fn a_lock_of_another_log_is_refused_and_removing_it_helps() {
    let (mut image, other) = (image(true), MemStorage::new(2));
    drop(open(&other).unwrap());
    image.insert("LOCK".into(), other.snapshot()["LOCK"].clone());
    let error = refused(&image);
    assert!(
        error.to_string().contains("remove LOCK and open"),
        "{error}"
    );
    assert_eq!(
        error.corrupt_at().unwrap().0,
        std::path::Path::new("/log/LOCK")
    );
    let image = without(&image, &["LOCK".into()]);
    let (_, opened) = open_as(&image, options());
    assert_eq!(contents(&opened.unwrap()), payloads(10..40));
}

#[test]
fn bytes_of_something_else_in_lock_are_no_place_for_a_new_log() {
    let image = Image::from([("LOCK".into(), b"another program's".to_vec())]);
    let (storage, opened) = open_as(&image, options());
    let error = opened.unwrap_err();
    assert!(
        error.to_string().contains("bytes that no log writes there"),
        "{error}"
    );
    assert_eq!(storage.snapshot(), image);
}

#[test]
fn a_log_that_must_exist_is_not_created() {
    let never = || options().create(Create::Never);
    let tmp = tempfile::tempdir().unwrap();
    for path in [tmp.path().to_owned(), tmp.path().join("a/b")] {
        let error = ready(Wal::open(&path, never())).unwrap_err();
        assert!(error.is_no_log(), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
    }
    let (_, opened) = open_as(&image(false), never());
    assert_eq!(contents(&opened.unwrap()), payloads(10..40));
    // That it is lost is another matter.
    let whole = image(true);
    let (_, opened) = open_as(&without(&whole, &segment_names(&whole)), never());
    assert!(opened.unwrap_err().is_corruption());
}

/// A crash may leave LOCK shorter than it is made. A record that is written later would need room on the disk.
#[test]
fn a_lock_that_is_too_short_is_completed_and_loses_no_record() {
    for len in [64, 512, 600, 1024] {
        let mut image = image(true);
        let whole = image["LOCK"].clone();
        image.get_mut("LOCK").unwrap().truncate(len);
        let (storage, opened) = open_as(&image, options());
        drop(opened.unwrap());
        let lock = storage.snapshot()["LOCK"].clone();
        assert_eq!(lock.len(), whole.len());
        let kept = if len < 576 { 512 } else { whole.len() };
        assert_eq!(lock[..kept], whole[..kept], "cut to {len}");
    }
}
