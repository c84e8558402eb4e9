//! Random programs.

use std::path::Path;

use plugpull::sim::{OpenOptions, Profile, SimFile, SimFs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::default()
    }
}

/// One operation. What cannot be done is an error, and nothing happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create(&'static str),
    Write(&'static str, u8, usize, u64),
    SetLen(&'static str, u64),
    CreateDir(&'static str),
    Rename(&'static str, &'static str),
    Link(&'static str, &'static str),
    RemoveFile(&'static str),
    RemoveDir(&'static str),
    SyncData(&'static str),
    SyncAll(&'static str),
    SyncDir(&'static str),
    SetMode(&'static str, u32),
    SetXattr(&'static str, u8),
    RemoveXattr(&'static str),
    PunchHole(&'static str, u64, u64),
}

impl Step {
    pub(crate) fn is_sync(&self) -> bool {
        matches!(
            self,
            Self::SyncData(_) | Self::SyncAll(_) | Self::SyncDir(_)
        )
    }

    /// Carries it out; what it returned.
    pub(crate) fn run(&self, fs: &SimFs) -> Result<usize, String> {
        let done = match *self {
            Self::Create(path) => open(fs, path, true).map(|_| 0),
            Self::Write(path, letter, len, at) => {
                open(fs, path, false).and_then(|file| file.write_at(&vec![letter; len], at))
            }
            Self::SetLen(path, len) => {
                open(fs, path, false).and_then(|file| file.set_len(len).map(|()| 0))
            }
            Self::CreateDir(path) => fs.create_dir(path).map(|()| 0),
            Self::Rename(from, to) => fs.rename(from, to).map(|()| 0),
            Self::Link(from, to) => fs.hard_link(from, to).map(|()| 0),
            Self::RemoveFile(path) => fs.remove_file(path).map(|()| 0),
            Self::RemoveDir(path) => fs.remove_dir(path).map(|()| 0),
            Self::SyncData(path) => {
                open(fs, path, false).and_then(|file| file.sync_data().map(|()| 0))
            }
            Self::SyncAll(path) => {
                open(fs, path, false).and_then(|file| file.sync_all().map(|()| 0))
            }
            Self::SyncDir(path) => fs.sync_dir(path).map(|()| 0),
            Self::SetMode(path, mode) => fs.set_mode(path, mode).map(|()| 0),
            Self::SetXattr(path, value) => fs.set_xattr(path, "user.k", &[value]).map(|()| 0),
            Self::RemoveXattr(path) => fs.remove_xattr(path, "user.k").map(|()| 0),
            Self::PunchHole(path, at, len) => {
                open(fs, path, false).and_then(|file| file.punch_hole(at, len).map(|()| 0))
            }
        };
        done.map_err(|error| error.to_string())
    }
}

fn open(fs: &SimFs, path: &str, create: bool) -> std::io::Result<SimFile> {
    let mut options = OpenOptions::new();
    fs.open(
        Path::new(path),
        options.read(true).write(true).create(create),
    )
}

pub(crate) fn run(fs: &SimFs, steps: &[Step]) -> Vec<Result<usize, String>> {
    steps.iter().map(|step| step.run(fs)).collect()
}

/// What programs may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    files: &'static [&'static str],
    lens: &'static [usize],
    offsets: &'static [u64],
    steps: usize,
}

/// Every outcome of most of these can be listed.
pub(crate) const SMALL: Size = Size {
    files: &["/a", "/b", "/d/a"],
    lens: &[100, 512, 600],
    offsets: &[0, 256, 512, 4096],
    steps: 7,
};

pub(crate) const LARGE: Size = Size {
    files: &[
        "/a", "/b", "/d/a", "/d/b", "/e/a", "/d/d/a", "/d/d/b", "/d/e",
    ],
    lens: &[1, 100, 512, 600, 4096, 5000, 9000],
    offsets: &[0, 1, 256, 511, 512, 4000, 4096, 20_000],
    steps: 40,
};

const DIRS: [&str; 4] = ["/d", "/e", "/d/d", "/d/e"];

pub(crate) fn program(size: Size) -> impl Strategy<Value = Vec<Step>> {
    vec(step(size), 1..=size.steps)
}

fn step(size: Size) -> impl Strategy<Value = Step> {
    let file = move || select(size.files);
    let dir = || select(&DIRS[..]);
    let any = move || prop_oneof![4 => file(), 1 => dir()];
    let letter = || b'a'..b'f';
    prop_oneof![
        5 => file().prop_map(Step::Create),
        6 => (file(), letter(), select(size.lens), select(size.offsets))
            .prop_map(|(path, letter, len, at)| Step::Write(path, letter, len, at)),
        2 => (file(), select(size.offsets)).prop_map(|(path, len)| Step::SetLen(path, len)),
        3 => dir().prop_map(Step::CreateDir),
        3 => (any(), any()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (file(), file()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => file().prop_map(Step::RemoveFile),
        1 => dir().prop_map(Step::RemoveDir),
        1 => file().prop_map(Step::SyncData),
        1 => file().prop_map(Step::SyncAll),
        2 => prop_oneof![Just("/"), dir()].prop_map(Step::SyncDir),
        1 => (any(), select(&[0o600, 0o640][..])).prop_map(|(path, mode)| Step::SetMode(path, mode)),
        1 => (any(), letter()).prop_map(|(path, value)| Step::SetXattr(path, value)),
        1 => any().prop_map(Step::RemoveXattr),
        1 => (file(), select(size.offsets), select(&[1, 512, 700, 8192][..]))
            .prop_map(|(path, at, len)| Step::PunchHole(path, at, len)),
    ]
}

pub(crate) fn profile() -> impl Strategy<Value = Profile> {
    select(&Profile::ALL[..])
}

/// Every path there is: files, and directories with the root, parents first.
pub(crate) fn tree(fs: &SimFs) -> (Vec<String>, Vec<String>) {
    let (mut files, mut dirs) = (Vec::new(), vec!["/".to_owned()]);
    let mut next = 0;
    while let Some(dir) = dirs.get(next).cloned() {
        for name in fs.read_dir(&dir).unwrap() {
            let path = format!("{}/{name}", dir.trim_end_matches('/'));
            if fs.is_dir(&path) {
                dirs.push(path);
            } else {
                files.push(path);
            }
        }
        next += 1;
    }
    (files, dirs)
}

/// Syncs every file and every directory.
pub(crate) fn sync_everything(fs: &SimFs) {
    let (files, dirs) = tree(fs);
    for path in files {
        open(fs, &path, false).unwrap().sync_all().unwrap();
    }
    for path in dirs.iter().rev() {
        fs.sync_dir(path).unwrap();
    }
}
