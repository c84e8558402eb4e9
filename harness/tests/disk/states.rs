//! Which states a recording has, and what is in each.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use plugpull::disk::{Crashes, Examiner, FileSystem, Sampling};

use crate::machine::{can, possible, site};
use crate::program::{broken, content, record, sampling};

#[test]
fn every_prefix_mounts_and_what_was_synced_is_in_every_state() {
    for file_system in possible("what was synced is in every state") {
        let site = site();
        let run = record(&site, &file_system);
        let crashes = Crashes::new(&run.recording, &sampling(&file_system));
        assert!(
            crashes.states().len() > run.recording.writes(),
            "more than the prefixes"
        );
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        for state in crashes.states() {
            let image = crashes.image(&state.outcome).expect("of this recording");
            assert_eq!(image.fingerprint(), state.fingerprint);
            let looked =
                examiner.with_mounted(&image, |dir| broken(&run.promises, state.index(), dir));
            let found = looked.unwrap_or_else(|error| panic!("{state:?}: {error}"));
            let broken = found.expect("readable");
            assert!(
                broken.is_none(),
                "{}: {state:?} breaks the promise at {:?}",
                file_system.kind,
                broken.map(|promise| promise.index)
            );
        }
    }
}

#[test]
fn every_prefix_of_the_writes_is_a_state_up_to_the_last() {
    let ext4 = FileSystem::ext4();
    if !can("every prefix is a state", &ext4) {
        return;
    }
    let site = site();
    let recording = record(&site, &ext4).recording;
    for sampling in [Sampling::prefixes(), Sampling::seeded(1)] {
        let crashes = Crashes::new(&recording, &sampling);
        for index in recording.start..=recording.end {
            let image = recording.image_at(index);
            let mut states = crashes.states().iter();
            let state = states.find(|state| state.fingerprint == image.fingerprint());
            let state = state.unwrap_or_else(|| panic!("the prefix at {index} is missing"));
            assert!(
                state.is_possible_at(index),
                "the prefix at {index}: {state:?}"
            );
            assert_eq!(
                crashes.image(&state.outcome).expect("of this recording"),
                image
            );
        }
    }
}

#[test]
fn an_append_without_a_sync_is_lost_in_some_state() {
    for file_system in possible("an unsynced append is lost") {
        let site = site();
        let run = record(&site, &file_system);
        let (index, bytes) = run.unsynced;
        let crashes = Crashes::at(&run.recording, index, &sampling(&file_system));
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        let lost = crashes.states().iter().filter(|state| {
            let image = crashes.image(&state.outcome).expect("of this recording");
            let looked = examiner.with_mounted(&image, |dir| content(dir, "log"));
            let found = looked.expect("mounted").expect("readable");
            found.is_some_and(|found| found.len() < bytes)
        });
        assert!(lost.count() > 0, "{}: in none at {index}", file_system.kind);
    }
}

#[test]
fn one_recording_and_one_seed_give_the_same_states() {
    let ext4 = FileSystem::ext4();
    if !can("the same states", &ext4) {
        return;
    }
    let site = site();
    let recording = record(&site, &ext4).recording;
    let states = |seed| {
        Crashes::new(&recording, &Sampling::seeded(seed))
            .states()
            .to_vec()
    };
    assert_eq!(states(1), states(1));
    assert_ne!(states(1), states(2));
    let mut fingerprints: Vec<u64> = states(1).iter().map(|state| state.fingerprint).collect();
    let all = fingerprints.len();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), all, "no content appears twice");
}

#[test]
fn a_crash_inside_the_replay_of_the_journal_and_inside_recovery_loses_nothing() {
    for file_system in possible("a crash inside recovery") {
        let site = site();
        let run = record(&site, &file_system);
        let mut examiner = Examiner::new(&site, &file_system).expect("an examiner");
        // Everything is promised at the end; the journal has not been written back.
        let image = run.recording.image_at(run.recording.end);
        let recovered = examiner.with_mounted_recorded(&image, |dir| {
            let mut log = File::options().write(true).open(dir.join("log"))?;
            log.seek(SeekFrom::End(0))?;
            log.write_all(b"recovered")?;
            log.sync_all()
        });
        let (said, recording) = recovered.expect("mounted");
        said.expect("recovered");
        assert_eq!(
            recording.base, image,
            "the replay of the journal is in the recording"
        );
        assert!(recording.writes() > 0 && recording.flushes() > 0);
        let crashes = Crashes::new(&recording, &sampling(&file_system));
        for state in crashes.states() {
            let image = crashes.image(&state.outcome).expect("of this recording");
            let looked = examiner.with_mounted(&image, |dir| broken(&run.promises, u64::MAX, dir));
            let found = looked.unwrap_or_else(|error| panic!("{state:?}: {error}"));
            assert!(
                found.expect("readable").is_none(),
                "{}: {state:?}",
                file_system.kind
            );
        }
    }
}
