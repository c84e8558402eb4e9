//! Metadata, symbolic links and special files, against a real file system.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plugpull::sim::{NodeKind, OpenOptions, Profile, SimFs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use crate::calls::config;
use crate::told::{Told, told};

const PATHS: [&str; 7] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c/a"];
const TARGETS: [&str; 8] = [
    "a",
    "b",
    "../b",
    "a/a",
    "..",
    "./c",
    "nowhere/x",
    "../a/../b",
];
/// The last ones are refused.
const ATTRIBUTES: [&str; 5] = ["user.a", "user.b", "user.", "none", ""];

/// One call. What it is done to is a path.
#[derive(Clone, Debug)]
enum Op {
    Create(&'static str, bool),
    CreateDir(&'static str),
    Fifo(&'static str),
    Symlink(&'static str, &'static str),
    ReadLink(&'static str),
    Link(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    RemoveDir(&'static str),
    List(&'static str),
    SetMode(&'static str, u32),
    SetXattr(&'static str, &'static str, u8),
    RemoveXattr(&'static str, &'static str),
    Xattr(&'static str, &'static str),
    PunchHole(&'static str, u64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let path = || select(&PATHS[..]);
    let key = || select(&ATTRIBUTES[..]);
    prop_oneof![
        6 => (path(), any::<bool>()).prop_map(|(path, new)| Op::Create(path, new)),
        5 => path().prop_map(Op::CreateDir),
        1 => path().prop_map(Op::Fifo),
        8 => (select(&TARGETS[..]), path()).prop_map(|(target, path)| Op::Symlink(target, path)),
        2 => path().prop_map(Op::ReadLink),
        3 => (path(), path()).prop_map(|(from, to)| Op::Link(from, to)),
        4 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => path().prop_map(Op::Remove),
        2 => path().prop_map(Op::RemoveDir),
        2 => path().prop_map(Op::List),
        3 => (path(), select(&[0o700, 0o750, 0o701][..]))
            .prop_map(|(path, mode)| Op::SetMode(path, mode)),
        4 => (path(), key(), any::<u8>()).prop_map(|(path, key, value)| Op::SetXattr(path, key, value)),
        2 => (path(), key()).prop_map(|(path, key)| Op::RemoveXattr(path, key)),
        2 => (path(), key()).prop_map(|(path, key)| Op::Xattr(path, key)),
        2 => (path(), 0..9000_u64, 0..9000_u64)
            .prop_map(|(path, at, len)| Op::PunchHole(path, at, len)),
    ]
}

/// Not a FIFO: a real one would be waited for.
fn fill() -> Vec<u8> {
    (0..9000_u32)
        .map(|index| (index % 251 + 1).to_le_bytes()[0])
        .collect()
}

fn simulate(fs: &SimFs, op: &Op) -> Told {
    let at = |path: &str| Path::new("/top").join(path);
    match *op {
        Op::Create(path, new) => {
            let mut options = OpenOptions::new();
            options.write(true).create(true).create_new(new);
            let file = fs.open(at(path), &options);
            told(file.and_then(|file| file.write_at(&fill(), 0)))
        }
        Op::CreateDir(path) => told(fs.create_dir(at(path))),
        Op::Fifo(path) => told(fs.make_node(at(path), NodeKind::Fifo, 0o700)),
        Op::Symlink(target, path) => told(fs.symlink(target, at(path))),
        Op::ReadLink(path) => told(fs.read_link(at(path))),
        Op::Link(from, to) => told(fs.hard_link(at(from), at(to))),
        Op::Rename(from, to) => told(fs.rename(at(from), at(to))),
        Op::Remove(path) => told(fs.remove_file(at(path))),
        Op::RemoveDir(path) => told(fs.remove_dir(at(path))),
        Op::List(path) => told(fs.read_dir(at(path))),
        Op::SetMode(path, mode) => told(fs.set_mode(at(path), mode)),
        Op::SetXattr(path, key, value) => told(fs.set_xattr(at(path), key, &[value])),
        Op::RemoveXattr(path, key) => told(fs.remove_xattr(at(path), key)),
        Op::Xattr(path, key) => told(fs.xattr(at(path), key)),
        Op::PunchHole(path, offset, len) => {
            let file = fs.open(at(path), OpenOptions::new().write(true));
            told(file.and_then(|file| file.punch_hole(offset, len)))
        }
    }
}

fn carry_out(top: &Path, op: &Op) -> Told {
    let at = |path: &str| top.join(path);
    match *op {
        Op::Create(path, new) => {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).create_new(new);
            let file = open(&at(path), &options);
            told(file.and_then(|file| std::os::unix::fs::FileExt::write_at(&file, &fill(), 0)))
        }
        Op::CreateDir(path) => told(fs::create_dir(at(path))),
        Op::Fifo(path) => {
            let mode = Mode::from_raw_mode(0o700);
            let result = rustix::fs::mknodat(CWD, at(path), FileType::Fifo, mode, 0);
            told(result.map_err(io::Error::from))
        }
        Op::Symlink(target, path) => told(std::os::unix::fs::symlink(target, at(path))),
        Op::ReadLink(path) => told(fs::read_link(at(path))),
        Op::Link(from, to) => told(fs::hard_link(at(from), at(to))),
        Op::Rename(from, to) => told(fs::rename(at(from), at(to))),
        Op::Remove(path) => told(fs::remove_file(at(path))),
        Op::RemoveDir(path) => told(fs::remove_dir(at(path))),
        Op::List(path) => {
            let name = |entry: io::Result<fs::DirEntry>| {
                Ok(entry?.file_name().into_string().expect("as it was made"))
            };
            let names = fs::read_dir(at(path)).and_then(|entries| entries.map(name).collect());
            told(names.map(|mut names: Vec<String>| {
                names.sort_unstable();
                names
            }))
        }
        Op::SetMode(path, mode) => {
            told(fs::set_permissions(at(path), Permissions::from_mode(mode)))
        }
        Op::SetXattr(path, key, value) => {
            let set = rustix::fs::setxattr(at(path), key, &[value], XattrFlags::empty());
            told(set.map_err(io::Error::from))
        }
        Op::RemoveXattr(path, key) => {
            told(rustix::fs::removexattr(at(path), key).map_err(io::Error::from))
        }
        Op::Xattr(path, key) => told(xattr(&at(path), key.as_ref())),
        Op::PunchHole(path, offset, len) => {
            let file = open(&at(path), fs::OpenOptions::new().write(true));
            told(file.and_then(|file| {
                use rustix::fs::FallocateFlags;
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                Ok(rustix::fs::fallocate(file, flags, offset, len)?)
            }))
        }
    }
}

/// Does not wait for the reader of a FIFO.
fn open(path: &Path, options: &fs::OpenOptions) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    options.clone().custom_flags(libc::O_NONBLOCK).open(path)
}

fn xattr(path: &Path, key: &OsStr) -> io::Result<Vec<u8>> {
    let mut value = vec![0; 100];
    let len = rustix::fs::getxattr(path, key, value.as_mut_slice())?;
    value.truncate(len);
    Ok(value)
}

/// Path, kind, mode, number of names, attributes, bytes.
type Seen = (PathBuf, NodeKind, u32, u64, Vec<(String, Vec<u8>)>, Vec<u8>);

fn everything_simulated(fs: &SimFs) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let top = Path::new("/top");
        for name in fs.read_dir(top.join(&dir)).expect("a directory") {
            let path = dir.join(name);
            let at = top.join(&path);
            let stat = fs.symlink_stat(&at).expect("it is there");
            let (mut xattrs, mut bytes) = (Vec::new(), Vec::new());
            if matches!(stat.kind, NodeKind::File | NodeKind::Dir) {
                let names = fs.xattr_names(&at).expect("it is there");
                xattrs.extend(names.into_iter().map(|name| {
                    let value = fs.xattr(&at, &name).expect("it was listed");
                    (name.display().to_string(), value)
                }));
            }
            match stat.kind {
                NodeKind::File => bytes = fs.read(&at).expect("a file"),
                NodeKind::Dir => dirs.push(path.clone()),
                _ => {}
            }
            seen.push((path, stat.kind, stat.mode, stat.links, xattrs, bytes));
        }
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

fn everything_real(top: &Path) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(top.join(&dir)).expect("a directory") {
            let path = dir.join(entry.expect("read").file_name());
            let at = top.join(&path);
            let stat = fs::symlink_metadata(&at).expect("it is there");
            let (mut xattrs, mut bytes, mut links) = (Vec::new(), Vec::new(), stat.nlink());
            let kind = if stat.is_file() {
                bytes = fs::read(&at).expect("a file");
                NodeKind::File
            } else if stat.is_dir() {
                dirs.push(path.clone());
                links = 1;
                NodeKind::Dir
            } else if stat.file_type().is_fifo() {
                NodeKind::Fifo
            } else {
                NodeKind::Symlink(fs::read_link(&at).expect("a link"))
            };
            if stat.is_file() || stat.is_dir() {
                let mut names = vec![0; 1000];
                let len = rustix::fs::listxattr(&at, names.as_mut_slice()).expect("it is there");
                let names = names[..len].split(|byte| *byte == 0).map(OsStr::from_bytes);
                xattrs.extend(
                    names
                        .filter(|name| name.as_bytes().starts_with(b"user."))
                        .map(|name| {
                            let value = xattr(&at, name).expect("it was listed");
                            (name.display().to_string(), value)
                        }),
                );
                xattrs.sort();
            }
            seen.push((path, kind, stat.mode() & 0o7777, links, xattrs, bytes));
        }
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn metadata_and_links_are_those_of_a_real_one(ops in vec(op(), 1..40)) {
        // The modes that new nodes have on the simulated one.
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let dir = tempfile::tempdir().expect("a temporary directory");
        // One level down: a link upwards must not lead to what others have there.
        let top = dir.path().join("top");
        fs::create_dir(&top).expect("nothing in the way");
        let fs = SimFs::new(Profile::Strict, 1);
        fs.create_dir("/top").expect("nothing in the way");
        for op in &ops {
            let (sim, real) = (simulate(&fs, op), carry_out(&top, op));
            prop_assert_eq!(&sim, &real, "simulated, and real: {:?}", op);
            prop_assert_eq!(everything_simulated(&fs), everything_real(&top), "after {:?}", op);
        }
    }
}

#[test]
fn a_link_from_the_root_leads_from_the_root() {
    let fs = SimFs::new(Profile::Strict, 1);
    fs.create_dir_all("/a/b").expect("nothing in the way");
    fs.write("/a/f", b"bytes").expect("nothing in the way");
    fs.symlink("/a", "/a/b/link").expect("nothing in the way");
    fs.symlink("link/f", "/a/b/file")
        .expect("nothing in the way");
    assert_eq!(fs.read("/a/b/file").expect("it is there"), b"bytes");
    let dir = fs.open_dir("/a/b").expect("it is there");
    assert_eq!(
        dir.inode("file").expect("it is there"),
        fs.stat("/a/f").expect("there").inode
    );
}

#[test]
fn no_more_than_forty_links_are_followed() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let fs = SimFs::new(Profile::Strict, 1);
    fs.write("/0", b"bytes").expect("nothing in the way");
    fs::write(tmp.path().join("0"), b"bytes").expect("nothing in the way");
    for link in 1..=42 {
        let (target, name) = ((link - 1).to_string(), link.to_string());
        fs.symlink(&target, format!("/{name}"))
            .expect("nothing in the way");
        std::os::unix::fs::symlink(&target, tmp.path().join(&name)).expect("nothing in the way");
        let real = told(fs::read(tmp.path().join(&name)));
        assert_eq!(told(fs.read(format!("/{name}"))), real, "{link} links");
    }
    fs.symlink("loop", "/loop").expect("nothing in the way");
    let opened = fs.create("/loop").map(drop).expect_err("it leads nowhere");
    assert_eq!(opened.raw_os_error(), Some(libc::ELOOP));
}

#[test]
fn a_handle_a_link_and_a_second_name_show_one_file() {
    let fs = SimFs::new(Profile::Strict, 1);
    fs.write("/f", b"bytes").expect("nothing in the way");
    fs.hard_link("/f", "/second").expect("nothing in the way");
    let file = fs.open("/f", OpenOptions::new().read(true)).expect("there");
    file.set_mode(0o600).expect("set");
    file.set_xattr("user.k", b"v").expect("set");
    assert_eq!(file.stat(), fs.stat("/second").expect("there"));
    assert_eq!((file.stat().mode, file.stat().links), (0o600, 2));
    assert_eq!(file.xattr("user.k").expect("set"), b"v");
    assert_eq!(file.xattr_names(), ["user.k"]);
    file.remove_xattr("user.k").expect("set");
    assert_eq!(file.xattr_names(), [""; 0]);
    fs.symlink("f", "/link").expect("nothing in the way");
    fs.set_symlink_owner("/link", Some(5), None).expect("set");
    assert_eq!(fs.symlink_stat("/link").expect("there").owner, 5);
    assert_eq!(fs.stat("/link").expect("there").owner, 0);
    fs.set_owner("/link", None, Some(6)).expect("set");
    assert_eq!(file.stat().group, 6);
}
