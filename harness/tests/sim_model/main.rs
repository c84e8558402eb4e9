//! The simulated file system against a real one: as long as nothing crashes, no program can tell
//! them apart.

mod std_calls;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use plugpull::sim::{FileHandle, FileSystem, OpenOptions, OsFs, Profile, SimFs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Few names and three levels: a name is now a file, now a directory, now nothing.
const PATHS: [&str; 9] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "a/a/a", "a/b/c"];
const HANDLES: usize = 4;

fn config(cases: u32) -> ProptestConfig {
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
struct Mode {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
}

impl Mode {
    fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(self.read).write(self.write);
        options.append(self.append).truncate(self.truncate);
        options.create(self.create).create_new(self.create_new);
        options
    }
}

/// One call. Handles and paths are numbers.
#[derive(Clone, Debug)]
enum Op {
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

/// Around the ends of sectors and pages, and where no file reaches.
fn offset() -> impl Strategy<Value = u64> {
    let boundary = prop::sample::select(vec![2_u64, 512, 1024, 4096, 8192, 12_288]);
    let around = (boundary, 0..5_u64).prop_map(|(at, by)| at + by - 2);
    let beyond = prop::sample::select(vec![1 << 63, u64::MAX - 1, u64::MAX]);
    prop_oneof![12 => around, 6 => 0..9000_u64, 1 => beyond]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0_usize),
        Just(512),
        Just(4096),
        1..700_usize,
        1..9000_usize
    ]
}

fn on_handles() -> impl Strategy<Value = Op> {
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

fn on_names() -> impl Strategy<Value = Op> {
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

fn open(paths: usize) -> impl Strategy<Value = Op> {
    (0..HANDLES, 0..paths, mode()).prop_map(|(handle, path, mode)| Op::Open(handle, path, mode))
}

/// What a call returned: a value in words, or an error's kind and number.
type Told = Result<String, (io::ErrorKind, Option<i32>)>;

fn told<T: Debug>(result: io::Result<T>) -> Told {
    result
        .map(|value| format!("{value:?}"))
        .map_err(|error| (error.kind(), error.raw_os_error()))
}

/// A program's view of a file system.
struct View<'a> {
    fs: &'a dyn FileSystem,
    root: PathBuf,
    handles: [Option<Box<dyn FileHandle>>; HANDLES],
}

impl<'a> View<'a> {
    fn new(fs: &'a dyn FileSystem, root: &Path) -> Self {
        Self {
            fs,
            root: root.to_owned(),
            handles: Default::default(),
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.root.join(PATHS[number])
    }

    fn run(&mut self, op: &Op) -> Told {
        if let Op::Open(slot, path, mode) = *op {
            let opened = self.fs.open(&self.path(path), &mode.options());
            return told(opened.map(|handle| drop(self.handles[slot].replace(handle))));
        }
        let (Op::Close(slot)
        | Op::Read(slot, ..)
        | Op::Write(slot, ..)
        | Op::SetLen(slot, _)
        | Op::SyncData(slot)
        | Op::SyncAll(slot)
        | Op::Length(slot)
        | Op::Lock(slot)) = *op
        else {
            return self.run_on_paths(op);
        };
        let Some(handle) = &self.handles[slot] else {
            return Ok("no handle".to_owned());
        };
        match *op {
            Op::Read(_, at, len) => {
                let mut bytes = vec![7; len];
                let read = handle.read_at(&mut bytes, at);
                told(read.map(|len| bytes[..len].to_vec()))
            }
            Op::Write(_, at, len, fill) => told(handle.write_at(&vec![fill; len], at)),
            Op::SetLen(_, len) => told(handle.set_len(len)),
            Op::SyncData(_) => told(handle.sync_data()),
            Op::SyncAll(_) => told(handle.sync_all()),
            Op::Length(_) => told(handle.length()),
            Op::Lock(_) => told(handle.try_lock()),
            _ => {
                drop(self.handles[slot].take());
                Ok("closed".to_owned())
            }
        }
    }

    fn run_on_paths(&self, op: &Op) -> Told {
        let Self { fs, .. } = self;
        match *op {
            Op::CreateDir(path) => told(fs.create_dir(&self.path(path))),
            Op::ReadDir(path) => told(fs.read_dir(&self.path(path))),
            Op::Rename(from, to) => told(fs.rename(&self.path(from), &self.path(to))),
            Op::Link(from, to) => told(fs.hard_link(&self.path(from), &self.path(to))),
            Op::RemoveFile(path) => told(fs.remove_file(&self.path(path))),
            Op::RemoveDir(path) => told(fs.remove_dir(&self.path(path))),
            Op::SyncDir(path) => told(fs.sync_dir(&self.path(path))),
            _ => unreachable!("it is done to a handle"),
        }
    }

    /// Everything that can be read, through paths and through handles.
    fn everything(&self) -> Vec<(String, Told)> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        let mut bytes = vec![0; 1 << 15];
        while let Some(path) = open.pop() {
            let at = self.root.join(&path);
            let listed = self.fs.read_dir(&at);
            if let Ok(names) = &listed {
                open.extend(
                    names
                        .iter()
                        .map(|name| Path::new(&path).join(name).display().to_string()),
                );
                found.push((path, told(listed)));
                continue;
            }
            let read = self.fs.open(&at, OpenOptions::new().read(true));
            let read = read.and_then(|file| file.read_at(&mut bytes, 0));
            found.push((path, told(read.map(|len| bytes[..len].to_vec()))));
        }
        for (slot, handle) in self.handles.iter().enumerate() {
            if let Some(handle) = handle {
                let read = handle.read_at(&mut bytes, 0);
                found.push((
                    format!("{slot}"),
                    told(read.map(|len| bytes[..len].to_vec())),
                ));
            }
        }
        found
    }
}

/// The same for both. Where the real error has no number, std made it up before it asked the system;
/// a directory's length is the system's own affair.
fn assert_same(op: &Op, sim: &Told, real: &Told) {
    match (sim, real) {
        (Err((sim_kind, _)), Err((kind, None))) => assert_eq!(sim_kind, kind, "{op:?}"),
        (Err((io::ErrorKind::IsADirectory, _)), Ok(_)) if matches!(op, Op::Length(_)) => {}
        _ => assert_eq!(sim, real, "simulated, and real: {op:?}"),
    }
}

fn run_on_both(ops: &[Op]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sim_fs = SimFs::new(Profile::Strict, 1);
    let mut sim = View::new(&sim_fs, Path::new("/"));
    let mut real = View::new(&OsFs, dir.path());
    for op in ops {
        assert_same(op, &sim.run(op), &real.run(op));
        assert_eq!(sim.everything(), real.everything(), "after {op:?}");
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_program_cannot_tell_it_from_a_real_one(
        ops in vec(prop_oneof![3 => open(PATHS.len()), 6 => on_handles(), 5 => on_names()], 1..60),
    ) {
        run_on_both(&ops);
    }

    #[test]
    fn names_are_those_of_a_real_one(
        ops in vec(prop_oneof![1 => open(PATHS.len()), 4 => on_names()], 1..60),
    ) {
        run_on_both(&ops);
    }

    #[test]
    fn handles_are_those_of_a_real_one(
        ops in vec(prop_oneof![1 => open(2), 3 => on_handles()], 1..60),
    ) {
        run_on_both(&ops);
    }
}
