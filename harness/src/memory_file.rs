//! Files in memory, without a name.

use std::fs::File;
use std::io;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

/// A file in memory that a child can be handed. It cannot be executed: some machines give no other
/// (`sysctl vm.memfd_noexec=2`).
pub(crate) fn memory_file(name: &str) -> io::Result<File> {
    let create = |flags| memfd_create(name, MemfdFlags::CLOEXEC | flags);
    let file = match create(MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => create(MemfdFlags::empty()),
        made => made,
    };
    Ok(File::from(file?))
}
