//! A file system as a program sees it.

use std::path::{Path, PathBuf};

use plugpull::sim::{FileHandle, FileSystem, OpenOptions};

use crate::calls::{HANDLES, Op, PATHS};
use crate::told::{Told, told};

/// A program's view of a file system.
pub(crate) struct View<'a> {
    fs: &'a dyn FileSystem,
    root: PathBuf,
    handles: [Option<Box<dyn FileHandle>>; HANDLES],
}

impl<'a> View<'a> {
    pub(crate) fn new(fs: &'a dyn FileSystem, root: &Path) -> Self {
        Self {
            fs,
            root: root.to_owned(),
            handles: Default::default(),
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.root.join(PATHS[number])
    }

    pub(crate) fn run(&mut self, op: &Op) -> Told {
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
    pub(crate) fn everything(&self) -> Vec<(String, Told)> {
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
