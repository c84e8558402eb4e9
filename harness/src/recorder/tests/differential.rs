//! The same program through the seam and under trace: what a power cut may leave is the same.
//!
//! Two ways to one disk. Through the seam, the simulated file system carries the calls out; under trace, a
//! real one does, and the simulated one follows. After every operation, all crash states of both are made, by
//! each profile, and compared by content: names, kinds, modes, attributes, bytes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use rustix::fs::{FallocateFlags, Mode, XattrFlags};
use serde::{Deserialize, Serialize};

use super::child::seeds;
use super::followed::recorded;
use crate::history::History;
use crate::recorder::followed::Following;
use crate::sim::{self, Disk, NodeKind, Odometer, OpenOptions, Profile, SimFs};
use crate::trace::Kind;
use crate::workload::{Workload, stream};
use crate::{Recorder, SimWriteRun, Simulated, Subject, WriteRun};

/// The example store with a seam, and its mistakes.
#[path = "../../../examples/sim_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod sim_store;

/// Beyond this number, the crash states of a moment are not made.
const STATES_MAX: usize = 200;
const FILES: [&str; 5] = ["a", "b", "d/a", "d/b", "e/a"];
const DIRS: [&str; 4] = ["", "d", "e", "d/f"];
/// Where the directory is on the simulated one.
const TOP: &str = "/";
/// A call that changes nothing, after each operation. The directory never has this name.
const MARK: &str = "mark";

/// One operation, of one call that changes something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Op {
    Create(usize, bool),
    Write(usize, u64, usize, u8),
    WriteThrough(usize, u64, usize, u8),
    Append(usize, usize, u8),
    SetLen(usize, u64),
    PunchHole(usize, u64, u64),
    SyncData(usize),
    SyncAll(usize),
    SyncDir(usize),
    CreateDir(usize),
    RemoveDir(usize),
    Rename(usize, usize),
    RenameDir(usize, usize),
    Link(usize, usize),
    Symlink(usize, usize),
    Remove(usize),
    SetMode(usize, u32),
    SetXattr(usize, u8),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let (file, dir) = (|| 0..FILES.len(), || 0..DIRS.len());
    // Not the top.
    let sub = || 1..DIRS.len();
    let at = || select(vec![0_u64, 100, 512, 1000, 4000, 4096]);
    let len = || select(vec![1_usize, 100, 512, 700]);
    prop_oneof![
        8 => (file(), any::<bool>()).prop_map(|(file, cut)| Op::Create(file, cut)),
        8 => (file(), at(), len(), 0..4_u8).prop_map(|(f, at, len, letter)| Op::Write(f, at, len, letter)),
        3 => (file(), at(), len(), 0..4_u8)
            .prop_map(|(f, at, len, letter)| Op::WriteThrough(f, at, len, letter)),
        4 => (file(), len(), 0..4_u8).prop_map(|(f, len, letter)| Op::Append(f, len, letter)),
        2 => (file(), at()).prop_map(|(file, len)| Op::SetLen(file, len)),
        1 => (file(), at(), at()).prop_map(|(file, at, len)| Op::PunchHole(file, at, len)),
        2 => file().prop_map(Op::SyncData),
        2 => file().prop_map(Op::SyncAll),
        3 => dir().prop_map(Op::SyncDir),
        4 => sub().prop_map(Op::CreateDir),
        1 => sub().prop_map(Op::RemoveDir),
        5 => (file(), file()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (sub(), sub()).prop_map(|(from, to)| Op::RenameDir(from, to)),
        2 => (file(), file()).prop_map(|(from, to)| Op::Link(from, to)),
        1 => (file(), file()).prop_map(|(from, to)| Op::Symlink(from, to)),
        3 => file().prop_map(Op::Remove),
        1 => (file(), select(vec![0o600_u32, 0o640])).prop_map(|(file, mode)| Op::SetMode(file, mode)),
        1 => (file(), any::<u8>()).prop_map(|(file, value)| Op::SetXattr(file, value)),
    ]
}

fn writes() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

pub(super) fn through_the_seam(fs: &SimFs, op: &Op) -> io::Result<()> {
    let file = |file: usize| Path::new("/").join(FILES[file]);
    let dir = |dir: usize| Path::new("/").join(DIRS[dir]);
    match *op {
        Op::Create(path, cut) => {
            let mut options = writes();
            fs.open(file(path), options.create(true).truncate(cut))
                .map(drop)
        }
        Op::Write(path, at, len, letter) => {
            let file = fs.open(file(path), &writes())?;
            file.write_at(&vec![letter; len], at).map(drop)
        }
        Op::WriteThrough(path, at, len, letter) => {
            let file = fs.open(file(path), &writes())?;
            file.write_at(&vec![letter; len], at)?;
            file.sync_data()
        }
        Op::Append(path, len, letter) => {
            let mut file = fs.open(file(path), OpenOptions::new().append(true))?;
            file.write_all(&vec![letter; len])
        }
        Op::SetLen(path, len) => fs.open(file(path), &writes())?.set_len(len),
        Op::PunchHole(path, at, len) => fs.open(file(path), &writes())?.punch_hole(at, len),
        Op::SyncData(path) => fs
            .open(file(path), OpenOptions::new().read(true))?
            .sync_data(),
        Op::SyncAll(path) => fs
            .open(file(path), OpenOptions::new().read(true))?
            .sync_all(),
        Op::SyncDir(path) => fs.sync_dir(dir(path)),
        Op::CreateDir(path) => fs.create_dir(dir(path)),
        Op::RemoveDir(path) => fs.remove_dir(dir(path)),
        Op::Rename(from, to) => fs.rename(file(from), file(to)),
        Op::RenameDir(from, to) => fs.rename(dir(from), dir(to)),
        Op::Link(from, to) => fs.hard_link(file(from), file(to)),
        Op::Symlink(target, path) => fs.symlink(Path::new(FILES[target]), file(path)),
        Op::Remove(path) => fs.remove_file(file(path)),
        Op::SetMode(path, mode) => fs.set_mode(file(path), mode),
        Op::SetXattr(path, value) => fs.set_xattr(file(path), "user.x", &[value]),
    }
}

pub(super) fn on_a_real_one(top: &Path, op: &Op) -> io::Result<()> {
    let file = |file: usize| top.join(FILES[file]);
    let dir = |dir: usize| top.join(DIRS[dir]);
    let open = |path: usize| File::options().write(true).open(file(path));
    match *op {
        Op::Create(path, cut) => {
            let mut options = File::options();
            options.write(true).create(true).truncate(cut);
            options.open(file(path)).map(drop)
        }
        Op::Write(path, at, len, letter) => open(path)?.write_at(&vec![letter; len], at).map(drop),
        Op::WriteThrough(path, at, len, letter) => {
            let mut options = File::options();
            let file = options
                .write(true)
                .custom_flags(libc::O_DSYNC)
                .open(file(path))?;
            file.write_at(&vec![letter; len], at).map(drop)
        }
        Op::Append(path, len, letter) => {
            let mut file = File::options().append(true).open(file(path))?;
            file.write_all(&vec![letter; len])
        }
        Op::SetLen(path, len) => open(path)?.set_len(len),
        Op::PunchHole(path, at, len) => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            Ok(rustix::fs::fallocate(open(path)?, flags, at, len)?)
        }
        Op::SyncData(path) => File::open(file(path))?.sync_data(),
        Op::SyncAll(path) => File::open(file(path))?.sync_all(),
        Op::SyncDir(path) => File::open(dir(path))?.sync_all(),
        Op::CreateDir(path) => fs::create_dir(dir(path)),
        Op::RemoveDir(path) => fs::remove_dir(dir(path)),
        Op::Rename(from, to) => fs::rename(file(from), file(to)),
        Op::RenameDir(from, to) => fs::rename(dir(from), dir(to)),
        Op::Link(from, to) => fs::hard_link(file(from), file(to)),
        Op::Symlink(target, path) => std::os::unix::fs::symlink(FILES[target], file(path)),
        Op::Remove(path) => fs::remove_file(file(path)),
        Op::SetMode(path, mode) => fs::set_permissions(file(path), Permissions::from_mode(mode)),
        Op::SetXattr(path, value) => {
            let flags = XattrFlags::empty();
            Ok(rustix::fs::setxattr(file(path), "user.x", &[value], flags)?)
        }
    }
}

/// What programs see of a directory, as a number.
fn content(fs: &SimFs, top: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut open = vec![PathBuf::from(top)];
    let mut inodes = Vec::new();
    while let Some(dir) = open.pop() {
        for name in fs.read_dir(&dir).expect("a directory") {
            let path = dir.join(name);
            let stat = fs.symlink_stat(&path).expect("it is there");
            let known = inodes.iter().position(|inode| *inode == stat.inode);
            inodes.push(stat.inode);
            let shown = path.strip_prefix(top).expect("it is below");
            (shown, stat.mode, known).hash(&mut hasher);
            match stat.kind {
                NodeKind::File => {
                    fs.read(&path).expect("a file").hash(&mut hasher);
                    let value = fs.xattr(&path, OsStr::new("user.x"));
                    value.ok().hash(&mut hasher);
                }
                NodeKind::Symlink(target) => target.hash(&mut hasher),
                NodeKind::Dir => open.push(path),
                kind => panic!("{kind:?} was made by no operation"),
            }
        }
    }
    hasher.finish()
}

/// What a power cut may leave; `None` where that is too much.
fn crash_states(fs: &SimFs, top: &str) -> Option<BTreeSet<u64>> {
    let mut odometer = Odometer::default();
    let mut states = BTreeSet::new();
    for _ in 0..STATES_MAX {
        states.insert(content(&fs.crash_clone(&mut odometer), top));
        if !odometer.advance() {
            return Some(states);
        }
    }
    None
}

/// What was compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    sequences: usize,
    pub(super) moments: usize,
    /// Of these, those with too many states.
    pub(super) too_large: usize,
    states: usize,
}

impl Compared {
    /// The crash states of a disk through the seam, and of one that is reached in another way.
    pub(super) fn compare(
        &mut self,
        seam: &SimFs,
        other: &SimFs,
        what: &str,
    ) -> Result<(), TestCaseError> {
        let [seen, followed] = [seam, other].map(|fs| content(fs, TOP));
        prop_assert_eq!(seen, followed, "{}: another directory", what);
        self.moments += 1;
        let [seam, other] = [seam, other].map(|fs| crash_states(fs, TOP));
        let (seam_states, other_states) = (&seam, &other);
        prop_assert!(
            seam_states == other_states,
            "{}: {:?} crash states through the seam, {:?} otherwise",
            what,
            seam.map(|states| states.len()),
            other.map(|states| states.len())
        );
        match seam {
            Some(states) => self.states += states.len(),
            None => self.too_large += 1,
        }
        Ok(())
    }

    fn sequence(&mut self, test: &str, ops: &[Op]) -> Result<bool, TestCaseError> {
        let told = serde_json::to_string(ops).expect("plain data");
        let within = std::env::temp_dir();
        let Some(traced) = recorded(test, &within, &told, run_told) else {
            return Ok(false);
        };
        for profile in Profile::ALL {
            let seam = SimFs::new(profile, 1);
            let mut following = Following::new(Disk::new(profile), traced.base.clone());
            let mut done = ops.iter();
            for step in &traced.steps {
                following.step(step).expect("nothing that is refused");
                let is_mark = step.call.kind() == Kind::Resize
                    && step.call.paths() == [MARK.as_ref() as &Path];
                if is_mark {
                    let op = done.next().expect("one mark for each");
                    let result = through_the_seam(&seam, op);
                    let disk = following.past.disk().clone();
                    let what = format!("{profile}, after {op:?} ({result:?})");
                    self.compare(&seam, &SimFs::from_disk(disk, 1), &what)?;
                }
            }
            prop_assert!(done.next().is_none());
        }
        self.sequences += 1;
        Ok(true)
    }
}

/// In the child: the operations, and a mark after each.
fn run_told(store: &Path, told: &str) {
    // The modes that new nodes have on the simulated one.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let ops: Vec<Op> = serde_json::from_str(told).expect("it was written so");
    for op in ops {
        // Many fail, on both.
        on_a_real_one(store, &op).ok();
        nix::unistd::truncate(&store.join(MARK), 0).expect_err("there is no such file");
    }
}

#[test]
fn a_random_program_leaves_the_same_through_the_seam_and_under_trace() {
    let test = "differential::a_random_program_leaves_the_same_through_the_seam_and_under_trace";
    // A child runs what it is told, and does not come back.
    let mut compared = Compared::default();
    let config = ProptestConfig {
        cases: u32::try_from(seeds(40)).expect("not many"),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(18),
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let cell = std::cell::RefCell::new(&mut compared);
    runner
        .run(&vec(op(), 4..24), |ops| {
            cell.borrow_mut().sequence(test, &ops).map(drop)
        })
        .unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{compared:?}");
    if compared.sequences > 0 {
        assert!(compared.moments > 1000, "{compared:?}");
        assert!(compared.too_large * 2 < compared.moments, "{compared:?}");
    }
}

/// The crash states of disks, moment after moment, without those that are as the moment before.
fn sequence_of(disks: impl Iterator<Item = Disk>, top: &str) -> Vec<Option<BTreeSet<u64>>> {
    let states = disks.map(|disk| crash_states(&SimFs::from_disk(disk, 1), top));
    let mut states: Vec<_> = states.collect();
    states.dedup();
    states
}

/// What a store does on the simulated file system.
fn lived(store: &dyn Simulated, profile: Profile, workload: &Workload) -> sim::Recording {
    let fs = SimFs::new(profile, 1);
    fs.create_dir("/store").expect("nothing in the way");
    fs.sync_dir("/").expect("no fault is planned");
    fs.record(None);
    let written = store.write(&SimWriteRun {
        fs: &fs,
        dir: Path::new("/store"),
        engine: "",
        workload,
        recorder: &Recorder::new(History::create(1 << 10).expect("memory")),
    });
    written.expect("no fault is planned");
    fs.recorded()
}

#[test]
fn a_store_leaves_the_same_through_the_seam_and_under_trace() {
    let test = "differential::a_store_leaves_the_same_through_the_seam_and_under_trace";
    let stores = || {
        let mistakes = [
            sim_store::Mistake::None,
            sim_store::Mistake::NoSync,
            sim_store::Mistake::NoDirectorySync,
            sim_store::Mistake::RenameBeforeSync,
        ];
        mistakes.map(sim_store::SimStore::new)
    };
    let workload = |number: usize| Workload {
        actions_max: Some(6),
        payload_bytes_max: 600,
        ..Workload::draw_tiny(&mut stream(number as u64, 18), 0)
    };
    let write = |dir: &Path, told: &str| {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let number: usize = told.parse().expect("a number");
        let written = Subject::write(
            &stores()[number],
            &WriteRun {
                dir,
                engine: "",
                workload: &workload(number),
                recorder: &Recorder::new(History::create(1 << 10).expect("memory")),
            },
        );
        written.expect("it can be written");
    };
    let (mut moments, mut states) = (0, 0);
    for (number, store) in stores().iter().enumerate() {
        let within = std::env::temp_dir();
        let Some(traced) = recorded(test, &within, &number.to_string(), write) else {
            return;
        };
        for profile in Profile::ALL {
            let mut following = Following::new(Disk::new(profile), traced.base.clone());
            for step in &traced.steps {
                following.step(step).expect("nothing that is refused");
            }
            let past = &following.past;
            let traced = (0..=past.acts().len()).map(|moment| past.disk_before(moment));
            let traced = sequence_of(traced, "/");
            let lived = lived(store, profile, &workload(number));
            let seam = lived.gaps.iter().map(|gap| gap.disk.clone());
            let seam = sequence_of(seam, "/store");
            assert_eq!(seam, traced, "{profile}, store {number}");
            moments += seam.len();
            states += seam.iter().flatten().map(BTreeSet::len).sum::<usize>();
        }
    }
    eprintln!("{moments} moments, {states} states");
    assert!(
        moments > 100 && states > 300,
        "{moments} moments, {states} states"
    );
}
