//! A simulated file system written into a directory of the real one.

use std::fs;
use std::io;
use std::path::Path;

use super::disk::Disk;
use super::nodes::Node;

impl Disk {
    /// Writes what programs see into a directory of the real file system.
    pub(crate) fn lay_out(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for (path, ino) in self.tree(false) {
            let path = dir.join(path.trim_start_matches('/'));
            match self.node(ino) {
                Node::Dir(_) => fs::create_dir(path)?,
                Node::File(file) => fs::write(path, file.live.bytes())?,
            }
        }
        Ok(())
    }
}
