//! A simulated file system written into a directory of the real one.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::nodes::{Ino, Node, ROOT};
use crate::tree::{Kind, Writer};

impl Disk {
    /// Writes what programs see into a directory of the real file system. Metadata that was never set is
    /// that of a new file there.
    pub(crate) fn lay_out(&self, dir: &Path) -> io::Result<()> {
        let mut writer = Writer::new(dir)?;
        let mut made: HashMap<Ino, PathBuf> = HashMap::new();
        for (path, ino) in self.tree(false) {
            let name = PathBuf::from(path.trim_start_matches('/'));
            if let Some(first) = made.get(&ino) {
                writer.link(first, &name)?;
                continue;
            }
            let node = self.node(ino);
            let kind = match node {
                Node::Dir(_) => &Kind::Dir,
                Node::File(_) => &Kind::File,
                Node::Special(special) => &special.kind,
            };
            writer.make(&name, kind, node.metadata().live(), |to| {
                let Node::File(file) = node else {
                    return Ok(());
                };
                for (offset, bytes) in file.live.pieces() {
                    to.write_all_at(&bytes, offset)?;
                }
                to.set_len(file.live.len())
            })?;
            made.insert(ino, name);
        }
        writer.finish(self.node(ROOT).metadata().live())
    }
}
