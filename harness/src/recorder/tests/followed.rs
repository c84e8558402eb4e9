//! The simulated file system shows what the directory shows, after every call.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, RenameFlags};

use super::calls::Program;
use super::child::{self, copier, file_systems, seeds};
use crate::image::Image;
use crate::recorder::followed::{Following, follow};
use crate::recorder::trace::Traced;
use crate::sim::{Act, Disk, Odometer, Profile, SimFs};
use crate::store::{Announced, Mark};
use crate::trace::{End, Kind};

/// What a child does in a directory of its own, as a recording. `None` where ptrace is not permitted.
pub(super) fn recorded(
    test: &str,
    within: &Path,
    told: &str,
    script: impl FnOnce(&Path, &str),
) -> Option<Traced> {
    let test = format!("recorder::tests::{test}");
    child::traced(&test, within, told, script, |tracer, store| {
        let mut copier = copier(store);
        let base = copier.mirror.image();
        let run = tracer.run(&mut copier)?;
        if let Some(error) = copier.error.take() {
            return Err(error);
        }
        assert_eq!(run.end, End::Exited(0));
        Ok(Traced {
            base,
            end: Some(copier.left()?),
            steps: copier.steps,
            announced: Announced::Nothing,
            recovered: None,
            failed: None,
            injection: None,
        })
    })
}

/// A disk laid out, next to an image.
struct Beside<'a> {
    dir: &'a Path,
    /// The last one that was compared.
    image: Option<Image>,
    looks: usize,
}

impl Beside<'_> {
    fn compare(&mut self, disk: &Disk, image: &Image, what: &str) {
        if self.image.as_ref().is_some_and(|last| last.is_same(image)) {
            return;
        }
        crate::scratch::remove_dir(self.dir).expect("removed");
        disk.lay_out(self.dir).expect("laid out");
        let shown = Image::read(self.dir, image).expect("read");
        let mut differs = shown.differences(image);
        // The mode of the directory itself is that of a new one, until it is set.
        differs.retain(|name| name != Path::new("."));
        assert!(differs.is_empty(), "{what}: {differs:?} differ");
        self.image = Some(image.clone());
        self.looks += 1;
    }
}

fn is_followed(seed: u64, traced: &Traced) -> usize {
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let scratch = scratch.expect("a temporary directory");
    let mut beside = Beside {
        dir: &scratch.path().join("laid-out"),
        image: None,
        looks: 0,
    };
    let mut following = Following::new(Disk::new(Profile::Strict), traced.base.clone());
    let mut told: Vec<String> = Vec::new();
    let followed = |done: io::Result<()>, told: &[String]| {
        let latest = told[told.len().saturating_sub(8)..].join("\n  ");
        done.unwrap_or_else(|error| panic!("seed {seed}: {error}\n  {latest}"));
        format!("seed {seed}\n  {latest}")
    };
    for step in &traced.steps {
        told.push(format!("{}, succeeded: {}", step.call, step.succeeded));
        let what = followed(following.catch_up(&step.before.image), &told);
        beside.compare(following.past.disk(), &step.before.image, &what);
        let what = followed(following.step(step), &told);
        if let Some(after) = step.after.as_ref().filter(|_| !step.call.overlaps_others()) {
            assert!(following.image.is_same(&after.image), "{what}");
            beside.compare(following.past.disk(), &after.image, &what);
        }
    }
    let end = traced.end.as_ref().expect("it ended");
    let what = followed(following.catch_up(end), &told);
    beside.compare(following.past.disk(), end, &what);
    // What is done again from the beginning comes to the same.
    let mut again = Disk::new(Profile::Strict);
    for act in following.past.acts() {
        again.act(act).expect("it was done before");
    }
    beside.image = None;
    beside.compare(&again, end, "done again");
    beside.looks
}

fn random(test: &str, threads: usize) {
    for within in file_systems() {
        for seed in 0..seeds(3) {
            let run = |store: &Path, seed: &str| {
                Program::run(store, seed.parse().expect("a number"), threads, true);
            };
            let Some(traced) = recorded(
                &format!("followed::{test}"),
                &within,
                &seed.to_string(),
                run,
            ) else {
                return;
            };
            let looks = is_followed(seed, &traced);
            assert!(looks > 60, "seed {seed}: {looks} states");
        }
    }
}

#[test]
fn random_calls_of_one_thread_are_followed() {
    random("random_calls_of_one_thread_are_followed", 1);
}

#[test]
fn random_calls_of_three_threads_are_followed() {
    random("random_calls_of_three_threads_are_followed", 3);
}

/// The follower of a directory that a call has changed in a way that it was not told of.
#[test]
fn a_directory_that_is_not_the_one_that_was_followed_is_an_error() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    fs::write(tmp.path().join("file"), "bytes").expect("written");
    let before = Image::read(tmp.path(), &Image::default()).expect("read");
    fs::write(tmp.path().join("file"), "other").expect("written");
    let after = Image::read(tmp.path(), &before).expect("read");
    // The disk is empty, and does not show what the run is said to have found.
    let mut following = Following::new(Disk::new(Profile::Strict), before);
    let error = following.catch_up(&after).expect_err("there is no file");
    assert!(error.to_string().contains("cannot follow"), "{error}");
}

/// An entry was once in the directory before it had been attempted: what is stored to a mapping between two
/// calls counts as two writes, and was attempted after the first call.
#[test]
fn what_changes_between_two_calls_was_attempted_by_the_second() {
    let test = "followed::what_changes_between_two_calls_was_attempted_by_the_second";
    let run = |store: &Path, _: &str| {
        let file = File::create(store.join("file")).expect("made");
        file.set_len(12_288).expect("set");
        file.write_at(&[1], 0).expect("written");
        file.write_at(&[2], 9000).expect("written");
        file.set_len(20_000).expect("set");
    };
    let Some(mut traced) = recorded(test, &std::env::temp_dir(), "", run) else {
        return;
    };
    // As if they had been stored to a mapping.
    traced.steps.retain(|step| step.call.kind() != Kind::Write);
    let attempted = Mark::Said {
        output: 10,
        descriptor: 0,
    };
    let last = traced.steps.last_mut().expect("there are some");
    last.before.span.attempts = attempted.clone();
    let mut following = Following::new(Disk::new(Profile::Strict), traced.base.clone());
    for step in &traced.steps {
        following.step(step).expect("it can be followed");
    }
    let acts = following.past.acts().iter().enumerate();
    let writes = acts.filter(|(_, act)| matches!(act, Act::Write { .. }));
    let writes: Vec<usize> = writes.map(|(index, _)| index).collect();
    assert_eq!(writes.len(), 2);
    let between = following.spans[writes[1]].as_ref().expect("not the end");
    assert_eq!(
        (&between.attempts, &between.claims),
        (&attempted, &Mark::Nothing)
    );
}

/// A process is killed in a rename that is carried out, and nothing shows its end. The file was once taken to
/// be written in place, and what had been synced of it could be lost.
#[test]
fn a_rename_that_has_no_end_is_a_rename() {
    const OLD: [u8; 1500] = [1; 1500];
    const NEW: [u8; 1500] = [2; 1500];
    let test = "followed::a_rename_that_has_no_end_is_a_rename";
    let run = |store: &Path, told: &str| {
        let [path, new] = ["log", "log.new"].map(|name| store.join(name));
        for (path, bytes) in [(&path, OLD), (&new, NEW)] {
            let file = File::create(path).expect("made");
            file.write_at(&bytes, 0).expect("written");
            if told != "unsynced" || bytes == OLD {
                file.sync_all().expect("synced");
            }
        }
        File::open(store)
            .expect("there")
            .sync_all()
            .expect("synced");
        let flags = match told {
            "exchanged" => RenameFlags::EXCHANGE,
            _ => RenameFlags::empty(),
        };
        rustix::fs::renameat_with(CWD, new, CWD, path, flags).expect("renamed");
    };
    for (told, is_done) in [
        ("synced", true),
        ("synced", false),
        ("exchanged", true),
        ("exchanged", false),
        ("unsynced", true),
    ] {
        let Some(mut traced) = recorded(test, &std::env::temp_dir(), told, run) else {
            return;
        };
        let mut steps = traced.steps.iter();
        let at = steps.position(|step| step.call.kind() == Kind::Rename);
        let step = &mut traced.steps[at.expect("it renames")];
        let after = step.after.take().expect("it ended");
        step.succeeded = false;
        let before = step.before.image.clone();
        traced.end = Some(if is_done { after.image } else { before });
        let followed = follow(traced, Disk::new(Profile::Strict), Vec::new());
        let fs = SimFs::from_disk(followed.expect("it can be followed").past.disk().clone(), 1);
        let mut states = BTreeSet::new();
        let mut odometer = Odometer::default();
        loop {
            let crashed = fs.crash_clone(&mut odometer);
            states.insert(["/log", "/log.new"].map(|path| crashed.read(path).ok()));
            if !odometer.advance() {
                break;
            }
        }
        let [old, new] = [OLD, NEW].map(|bytes| Some(bytes.to_vec()));
        let before = [old.clone(), new.clone()];
        let expected = match (told, is_done) {
            (_, false) => [before].into(),
            ("exchanged", _) => [before, [new, old]].into(),
            ("synced", _) => [before, [new, None]].into(),
            _ => {
                let is_torn = |[log, _]: &[Option<Vec<u8>>; 2]| *log != old && *log != new;
                assert!(states.iter().any(is_torn), "the file was not synced");
                continue;
            }
        };
        assert_eq!(states, expected, "{told}, carried out: {is_done}");
    }
}

/// Where the file system can do it, it is refused; else nothing was done, and there is nothing to refuse.
#[test]
fn bytes_that_are_cut_out_are_refused_by_name() {
    let test = "followed::bytes_that_are_cut_out_are_refused_by_name";
    for within in file_systems() {
        let run = |store: &Path, _: &str| {
            let file = File::create(store.join("file")).expect("made");
            file.write_at(&[1; 3 * 4096], 0).expect("written");
            rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4096).ok();
        };
        let Some(traced) = recorded(test, &within, "", run) else {
            return;
        };
        let cuts =
            |step: &crate::recorder::Step| step.call.kind() == Kind::Allocate && step.succeeded;
        let is_cut = traced.steps.iter().any(cuts);
        match follow(traced, Disk::new(Profile::Strict), Vec::new()) {
            Ok(_) => assert!(!is_cut, "it is followed"),
            Err(error) => {
                assert!(is_cut, "{error}");
                assert!(
                    error.to_string().contains("FALLOC_FL_COLLAPSE_RANGE"),
                    "{error}"
                );
            }
        }
    }
}
