//! The same program through the seam and on a mounted file system: what a power cut may leave is the same,
//! after every operation, by each profile.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use rustix::fs::Mode;

use super::child::{self, is_child, seeds};
use super::differential::{Compared, Op, on_a_real_one, op, through_the_seam};
use crate::disk::Site;
use crate::mount::{Lived, Mounted};
use crate::recorder::mount::Unasked;
use crate::sim::{Disk, Profile, SimFs};
use crate::store::{Announcer, Mark};
use crate::trace::End;

const TEST: &str = "recorder::tests::mounted_differential::\
                    a_random_program_leaves_the_same_through_the_seam_and_on_a_mounted_file_system";
/// Grows by a byte after each operation; it lies elsewhere.
const DONE: &str = "done";

/// Hears how many operations have been done.
struct Done(PathBuf);

impl Announcer for Done {
    fn mark(&self) -> io::Result<Mark> {
        let done = fs::metadata(&self.0).map_or(0, |file| file.len());
        Ok(Mark::Said {
            output: usize::try_from(done).expect("not many"),
            descriptor: 0,
        })
    }

    fn heard(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn is_full(&self) -> bool {
        false
    }

    fn note(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// In the child: the operations.
fn run_told(store: &Path, told: &str) {
    // The modes that new nodes have on the simulated one.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let ops: Vec<Op> = serde_json::from_str(told).expect("it was written so");
    let mut done = fs::File::create(store.with_file_name(DONE)).expect("it lies elsewhere");
    for op in ops {
        // Many fail, on both.
        on_a_real_one(store, &op).ok();
        done.write_all(b"x").expect("written");
    }
}

/// What the operations do on a mounted file system.
fn lived(site: Option<&Site>, ops: &[Op]) -> Lived {
    let told = serde_json::to_string(ops).expect("plain data");
    let within = std::env::temp_dir();
    let lived = child::traced(TEST, &within, &told, run_told, |tracer, store| {
        let done = Arc::new(Done(store.with_file_name(DONE)));
        let disk = Disk::new(Profile::Strict);
        let mounted = Mounted::new(site, store, disk, done, None)?;
        let shared = Arc::clone(mounted.shared());
        let run = tracer.run(&mut Unasked::new(&shared))?;
        assert_eq!(run.end, End::Exited(0));
        drop(shared);
        mounted.end()
    });
    lived.expect("ptrace is permitted where this is root")
}

fn compare(compared: &mut Compared, lived: &Lived, ops: &[Op]) -> Result<(), TestCaseError> {
    let done_before = |act: usize| match &lived.spans[act].attempts {
        Mark::Said { output, .. } => *output,
        mark => panic!("{mark:?}"),
    };
    for profile in Profile::ALL {
        let seam = SimFs::new(profile, 1);
        let mut disk = Disk::new(profile);
        let mut acts = lived.past.acts().iter().enumerate().peekable();
        for (number, op) in ops.iter().enumerate() {
            let result = through_the_seam(&seam, op);
            while let Some((_, act)) = acts.next_if(|(act, _)| done_before(*act) <= number) {
                disk.act(act).expect("it was done there");
            }
            let mounted = SimFs::from_disk(disk.clone(), 1);
            let what = format!("{profile}, after {op:?} ({result:?})");
            compared.compare(&seam, &mounted, &what)?;
        }
    }
    Ok(())
}

#[test]
fn a_random_program_leaves_the_same_through_the_seam_and_on_a_mounted_file_system() {
    let site = if is_child() {
        None
    } else if let Err(why) = crate::mount::available(&std::env::temp_dir()) {
        eprintln!("SKIPPED: {why}");
        return;
    } else {
        crate::mount::site(&std::env::temp_dir()).expect("it was possible just now")
    };
    let mut compared = Compared::default();
    let config = ProptestConfig {
        cases: u32::try_from(seeds(40)).expect("not many"),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(19),
        ..ProptestConfig::default()
    };
    let cell = std::cell::RefCell::new(&mut compared);
    TestRunner::new(config)
        .run(&vec(op(), 4..24), |ops| {
            let lived = lived(site.as_ref(), &ops);
            compare(&mut cell.borrow_mut(), &lived, &ops)
        })
        .unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{compared:?}");
    assert!(compared.moments > 1000, "{compared:?}");
    assert!(compared.too_large * 2 < compared.moments, "{compared:?}");
}
