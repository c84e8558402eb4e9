//! What is copied at a stop is what is there, whatever calls brought it about.

mod calls;
mod child;
mod differential;
mod followed;
mod long;
mod mounted;
mod mounted_differential;
mod mounted_litmus;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};

use self::calls::Program;
use self::child::{copier, file_systems, seeds, traced};
use super::copier::{Copier, Step, Written};
use crate::image::Image;
use crate::trace::{Call, Decision, Durability, End, Kind, Observer, Run};
use crate::tree::Identity;

/// Reads the whole directory at each stop, and compares.
struct Compared<'a> {
    copier: Copier<'a>,
    told: Vec<String>,
    seed: u64,
}

impl Compared<'_> {
    fn compare(&mut self, what: String) {
        self.told.push(what);
        if let Some(error) = &self.copier.error {
            panic!("seed {}, {}: {error}", self.seed, self.latest());
        }
        let fresh = Image::read(self.copier.dir(), &Image::default()).expect("it is stopped");
        let differs = fresh.differences(&self.copier.mirror.image());
        assert!(
            differs.is_empty(),
            "seed {}, {}: {differs:?} differ",
            self.seed,
            self.latest()
        );
    }

    /// A write that was cut behind its last byte has left what the whole write has.
    fn cut_at_the_end(&self, call: &Call) {
        let of_call = |step: &&Step| step.call.thread() == call.thread();
        let Some(step) = self.copier.steps.iter().rev().find(of_call) else {
            return;
        };
        if let (Some(written), Some(after)) = (&step.written, &step.after) {
            let Written { file, range } = written;
            let cut = after
                .image
                .with_part_written(file, &step.base, range.clone());
            let differs = cut.map(|cut| cut.differences(&after.image));
            assert_eq!(
                differs,
                Some(vec![]),
                "seed {}, {}: cut at {}",
                self.seed,
                self.latest(),
                range.end
            );
        }
    }

    fn latest(&self) -> String {
        let first = self.told.len().saturating_sub(12);
        self.told[first..].join("\n  ")
    }
}

impl Observer for Compared<'_> {
    fn before(&mut self, call: &Call) -> Decision {
        let decision = self.copier.before(call);
        self.compare(format!("before {call}"));
        decision
    }

    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()> {
        let what = format!("after {call} = {result:?}");
        let flow = self.copier.after(call, result);
        self.compare(what);
        self.cut_at_the_end(call);
        flow
    }

    fn holds(&mut self, kind: Kind, file: Identity, syncs: Option<Durability>) -> bool {
        self.copier.holds(kind, file, syncs)
    }

    fn broken_off(&mut self, call: &Call) {
        self.copier.broken_off(call);
        self.compare(format!("broken off: {call}"));
    }
}

/// Runs the named test of this file once more as a child, under trace, and compares. The result is how the
/// run ended, and how many calls were broken off.
fn compared(
    test: &str,
    within: &Path,
    seed: u64,
    script: impl FnOnce(&Path, u64),
) -> Option<(Run, usize)> {
    let script = |store: &Path, told: &str| script(store, told.parse().expect("a number"));
    let test = format!("recorder::tests::{test}");
    traced(&test, within, &seed.to_string(), script, |tracer, store| {
        let mut compared = Compared {
            copier: copier(store),
            told: Vec::new(),
            seed,
        };
        let run = tracer.run(&mut compared)?;
        let is_broken_off = |step: &&Step| step.after.is_none();
        let broken_off = compared.copier.steps.iter().filter(is_broken_off).count();
        Ok((run, broken_off))
    })
}

fn random(test: &str, threads: usize) {
    let seeds = seeds(3);
    for within in file_systems() {
        for seed in 0..seeds {
            let run = compared(test, &within, seed, |store, seed| {
                Program::run(store, seed, threads, false);
            });
            let Some((run, _)) = run else { return };
            assert_eq!(run.end, End::Exited(0), "seed {seed}");
            assert!(run.calls > 60, "seed {seed}: {} calls", run.calls);
        }
    }
}

#[test]
fn random_calls_of_one_thread_leave_what_is_copied() {
    random("random_calls_of_one_thread_leave_what_is_copied", 1);
}

#[test]
fn random_calls_of_three_threads_leave_what_is_copied() {
    random("random_calls_of_three_threads_leave_what_is_copied", 3);
}

/// The call of a process that is killed in it has no end, and may have been carried out in part. The copies
/// at later calls of the others once lacked what it had done.
#[test]
fn what_a_killed_process_wrote_in_its_last_call_is_copied() {
    let test = "what_a_killed_process_wrote_in_its_last_call_is_copied";
    let run = compared(test, &std::env::temp_dir(), 0, |store, _| {
        let big = store.join("big");
        fs::write(&big, b"").expect("made");
        let mut writer = Command::new("dd")
            .args(["if=/dev/zero", "bs=512M", "count=1", "conv=notrunc"])
            .arg(format!("of={}", big.display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let is_in_it = || fs::metadata(&big).expect("there").len() > 0;
        while !is_in_it() && writer.try_wait().expect("waited for").is_none() {
            std::thread::yield_now();
        }
        writer.kill().expect("killed");
        writer.wait().expect("waited for");
        fs::write(store.join("other"), b"later").expect("written");
    });
    if let Some((run, broken_off)) = run {
        assert_eq!(run.end, End::Exited(0));
        assert_eq!(broken_off, 1, "the write ended before the kill");
    }
}
