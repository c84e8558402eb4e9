//! The memory of a stopped task.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

/// The longest path that the kernel takes.
const PATH_BYTES_MAX: usize = 4096;
/// Memory is readable or not by such pieces.
const PAGE_BYTES: usize = 4096;

const IOV_COUNT_MAX: usize = 1024;
pub(super) const IOV_BYTES: usize = 16;
/// Of a socket that has a name in the file system.
const SOCKET_ADDRESS_BYTES_MAX: usize = 110;

/// What a stopped task has in memory, by address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory(pub(super) Pid);

impl Memory {
    pub(super) fn word(self, address: u64) -> Option<u64> {
        let mut word = [0; 8];
        self.read(address, &mut word)?;
        Some(u64::from_ne_bytes(word))
    }

    pub(super) fn read(self, address: u64, to: &mut [u8]) -> Option<()> {
        let len = to.len();
        if len == 0 {
            return Some(());
        }
        let base = usize::try_from(address).ok()?;
        let from = [RemoteIoVec { base, len }];
        let read = process_vm_readv(self.0, &mut [IoSliceMut::new(to)], &from).ok()?;
        (read == len).then_some(())
    }

    pub(super) fn string(self, address: u64) -> Option<PathBuf> {
        let mut address = usize::try_from(address).ok()?;
        let mut bytes = Vec::new();
        while bytes.len() < PATH_BYTES_MAX {
            let mut chunk = vec![0; PAGE_BYTES - address % PAGE_BYTES];
            self.read(u64::try_from(address).ok()?, &mut chunk)?;
            address += chunk.len();
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                bytes.extend_from_slice(&chunk[..end]);
                return Some(OsString::from_vec(bytes).into());
            }
            bytes.append(&mut chunk);
        }
        None
    }

    /// How long the pieces of an array of iovecs are.
    pub(super) fn iovec_lengths(self, address: u64, count: usize) -> Option<Vec<u64>> {
        let mut array = vec![0; count.min(IOV_COUNT_MAX) * IOV_BYTES];
        self.read(address, &mut array)?;
        let (words, _) = array.as_chunks::<8>();
        let lengths = words.iter().skip(1).step_by(2);
        Some(lengths.map(|word| u64::from_ne_bytes(*word)).collect())
    }

    /// The name in the address of a socket, if it is one of a file.
    pub(super) fn socket_name(self, address: u64, bytes: u64) -> Option<OsString> {
        let bytes = usize::try_from(bytes).ok()?;
        let mut found = vec![0; bytes.min(SOCKET_ADDRESS_BYTES_MAX)];
        self.read(address, &mut found)?;
        let (family, name) = found.split_first_chunk::<2>()?;
        let name = name.split(|byte| *byte == 0).next()?;
        // A name that begins with a zero is not one of a file.
        if i32::from(u16::from_ne_bytes(*family)) != libc::AF_UNIX || name.is_empty() {
            return None;
        }
        Some(OsString::from_vec(name.to_vec()))
    }
}
