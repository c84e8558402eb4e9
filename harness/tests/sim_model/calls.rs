//! Calls of a program, as they are drawn.

use plugpull::sim::OpenOptions;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Few names and three levels: a name is now a file, now a directory, now nothing.
pub(crate) const PATHS: [&str; 9] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "a/a/a", "a/b/c"];
pub(crate) const HANDLES: usize = 4;

pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::default()
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "as the options of open(2)")]
pub(crate) struct Mode {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
}

impl Mode {
    pub(crate) fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(self.read).write(self.write);
        options.append(self.append).truncate(self.truncate);
        options.create(self.create).create_new(self.create_new);
        options
    }
}

/// One call. Handles and paths are numbers.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open(usize, usize, Mode),
    Close(usize),
    Read(usize, u64, usize),
    Write(usize, u64, usize, u8),
    SetLen(usize, u64),
    SyncData(usize),
    SyncAll(usize),
    Length(usize),
    Lock(usize),
    CreateDir(usize),
    ReadDir(usize),
    Rename(usize, usize),
    Link(usize, usize),
    RemoveFile(usize),
    RemoveDir(usize),
    SyncDir(usize),
}

/// Around the ends of sectors and pages, and where no file reaches.
pub(crate) fn offset() -> impl Strategy<Value = u64> {
    let boundary = prop::sample::select(vec![2_u64, 512, 1024, 4096, 8192, 12_288]);
    let around = (boundary, 0..5_u64).prop_map(|(at, by)| at + by - 2);
    let beyond = prop::sample::select(vec![1 << 63, u64::MAX - 1, u64::MAX]);
    prop_oneof![12 => around, 6 => 0..9000_u64, 1 => beyond]
}

pub(crate) fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0_usize),
        Just(512),
        Just(4096),
        1..700_usize,
        1..9000_usize
    ]
}

pub(crate) fn on_handles() -> impl Strategy<Value = Op> {
    let handle = || 0..HANDLES;
    prop_oneof![
        2 => handle().prop_map(Op::Close),
        6 => (handle(), offset(), length()).prop_map(|(h, at, len)| Op::Read(h, at, len)),
        10 => (handle(), offset(), length(), 0..4_u8)
            .prop_map(|(h, at, len, fill)| Op::Write(h, at, len, fill)),
        4 => (handle(), offset()).prop_map(|(h, len)| Op::SetLen(h, len)),
        1 => (handle(), any::<bool>())
            .prop_map(|(h, all)| if all { Op::SyncAll(h) } else { Op::SyncData(h) }),
        2 => handle().prop_map(Op::Length),
        6 => handle().prop_map(Op::Lock),
    ]
}

pub(crate) fn on_names() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    prop_oneof![
        12 => path().prop_map(Op::CreateDir),
        2 => path().prop_map(Op::ReadDir),
        12 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        5 => (path(), path()).prop_map(|(from, to)| Op::Link(from, to)),
        4 => path().prop_map(Op::RemoveFile),
        3 => path().prop_map(Op::RemoveDir),
        1 => path().prop_map(Op::SyncDir),
    ]
}

pub(crate) fn open(paths: usize) -> impl Strategy<Value = Op> {
    (0..HANDLES, 0..paths, mode()).prop_map(|(handle, path, mode)| Op::Open(handle, path, mode))
}

fn mode() -> impl Strategy<Value = Mode> {
    let flag = any::<bool>;
    // Most ways to open a file are errors; what programs do has to be among them often.
    let usual = Mode {
        read: true,
        write: true,
        append: false,
        truncate: false,
        create: true,
        create_new: false,
    };
    let any = (flag(), flag(), flag(), flag(), flag(), flag());
    let any = any.prop_map(|(read, write, append, truncate, create, create_new)| Mode {
        read,
        write,
        append,
        truncate,
        create,
        create_new,
    });
    let read_only = Mode {
        write: false,
        create: false,
        ..usual
    };
    prop_oneof![3 => Just(usual), 1 => Just(read_only), 3 => any]
}
