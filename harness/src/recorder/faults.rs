//! What a call under trace is to faults.

use std::fs;
use std::path::{Path, PathBuf};

use crate::injection::{Class, Injected, Injection};
use crate::trace::{Call, Durability, Kind};

/// What a call on the directory meets, if anything. `has_spoken`: the store has announced something.
pub(super) fn meet(
    injection: &mut Injection,
    call: &Call,
    dir: &Path,
    has_spoken: bool,
) -> Option<Injected> {
    let class = class_of(call, dir)?;
    injection.meet(class, call.offset(), has_spoken)
}

/// `sync` cannot fail, and a failed `syncfs` says nothing of a file; calls that overlap others are not held.
fn class_of(call: &Call, dir: &Path) -> Option<Class> {
    if call.overlaps_others() {
        return None;
    }
    let file = file_of(call, dir);
    let len = || file.as_ref().map_or(0, fs::Metadata::len);
    let has = |flag: i32| call.flags().unwrap_or(0) & u64::from(flag.cast_unsigned()) != 0;
    match call.kind() {
        Kind::Sync => match call.syncs()? {
            Durability::FileSystem => None,
            _ if file.is_some_and(|file| file.is_dir()) => Some(Class::SyncDir),
            _ => Some(Class::Sync),
        },
        Kind::Write | Kind::Copy => {
            let bytes = call.length().filter(|bytes| *bytes > 0)?;
            let end = call.offset().map(|offset| offset.saturating_add(bytes));
            let grows = end.is_none_or(|end| end > len());
            Some(Class::Write { grows, bytes })
        }
        Kind::Resize if call.length()? > len() => Some(Class::Grow),
        Kind::Allocate if !has(libc::FALLOC_FL_PUNCH_HOLE) => Some(Class::Grow),
        // What is there is only opened.
        Kind::Create if file.is_none() && has(libc::O_CREAT) => Some(Class::Create),
        Kind::MakeDir if file.is_none() => Some(Class::Create),
        Kind::Rename => Some(Class::Rename),
        _ => None,
    }
}

/// What it works on, if that is there.
fn file_of(call: &Call, dir: &Path) -> Option<fs::Metadata> {
    let path = match call.fd() {
        Some(fd) => PathBuf::from(format!("/proc/{}/fd/{fd}", call.thread())),
        None => dir.join(call.paths().first()?),
    };
    fs::metadata(path).ok()
}
