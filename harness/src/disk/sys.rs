//! What neither std nor nix has: the only unsafe code of the disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use libc::{c_int, c_ulong};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

const LOOP_CTL_GET_FREE: c_ulong = 0x4C82;
const LOOP_CONFIGURE: c_ulong = 0x4C0A;
const BLKFLSBUF: c_ulong = 0x1261;
const BLKDISCARD: c_ulong = 0x1277;
const PR_SET_IO_FLUSHER: c_int = 57;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Bytes for a loop device's name, the zero at its end included.
const LO_NAME_BYTES: usize = 64;

/// `struct loop_info64`, from `linux/loop.h`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LO_NAME_BYTES],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`, from `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// The number of a loop device that nobody uses at this moment. Somebody else may be faster.
#[expect(unsafe_code, reason = "an ioctl that nix does not know")]
pub(super) fn loop_get_free(control: &File) -> io::Result<c_int> {
    // SAFETY: the descriptor is open, and this request takes no pointer.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    Ok(Errno::result(number)?)
}

/// Binds a file to a loop device, in one step with its name and with the flag that lets it go when
/// the last user of the device closes it.
#[expect(unsafe_code, reason = "an ioctl that nix does not know")]
pub(super) fn loop_configure(device: &File, backing: &File, name: &str) -> io::Result<()> {
    let mut file_name = [0; LO_NAME_BYTES];
    let name = &name.as_bytes()[..name.len().min(LO_NAME_BYTES - 1)];
    file_name[..name.len()].copy_from_slice(name);
    let config = LoopConfig {
        fd: u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 0,
        info: LoopInfo64 {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            file_name,
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: both descriptors are open; the kernel reads one `loop_config`, which `config` is, byte
    // for byte, and keeps no pointer to it.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    Errno::result(done)?;
    Ok(())
}

/// Makes the kernel forget what it has cached of a block device.
#[expect(unsafe_code, reason = "an ioctl that nix does not know")]
pub(super) fn flush_buffers(device: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open, and this request takes no pointer.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF as _, 0) };
    Errno::result(done)?;
    Ok(())
}

/// Discards a range of a block device.
#[expect(unsafe_code, reason = "an ioctl that nix does not know")]
pub(super) fn discard(device: &File, offset: u64, bytes: u64) -> io::Result<()> {
    let range = [offset, bytes];
    // SAFETY: the descriptor is open; the kernel reads two words, which `range` is, and keeps no
    // pointer to them.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD as _, range.as_ptr()) };
    Errno::result(done)?;
    Ok(())
}

/// Gives the calling thread, and the threads that it will start, a table of file descriptors of
/// their own with nothing but the standard ones in it, and those that are kept.
///
/// # Why
/// A thread of this process can wait in the kernel, past any signal, for something that another
/// thread of this process has to answer. If the process is killed then, the descriptor through which
/// the answer would go must close *before* the waiting thread ends. It does if only the serving
/// threads have it: the kernel closes it as they die, which fails what is unanswered and ends the
/// wait.
///
/// The caller may not own any descriptor: it would find it closed.
#[expect(unsafe_code, reason = "neither std nor nix has it")]
pub(super) fn leave_descriptors(kept: &[RawFd]) -> io::Result<()> {
    unshare(CloneFlags::CLONE_FILES)?;
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    let mut first: RawFd = 3;
    for next in kept.into_iter().chain([c_int::MAX]) {
        let last = next - 1;
        if first <= last {
            // SAFETY: the table is unshared, so no descriptor that another thread owns is closed; the
            // caller owns none.
            let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            Errno::result(done)?;
        }
        first = first.max(next.saturating_add(1));
    }
    Ok(())
}

/// Says to the kernel that the calling thread, and the threads that it will start, serve a block
/// device: when memory is short, they may not be made to wait for that very device.
#[expect(unsafe_code, reason = "nix does not know it")]
pub(super) fn serve_block_device() -> io::Result<()> {
    let none: c_ulong = 0;
    // SAFETY: this option takes a number, no pointer.
    let done = unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1 as c_ulong, none, none, none) };
    Errno::result(done)?;
    Ok(())
}

// The layouts that the kernel expects.
const _: () = assert!(size_of::<LoopInfo64>() == 232);
const _: () = assert!(size_of::<LoopConfig>() == 304);

/// Has what is dirty of a file written back, stores to mappings too, and waits for it. Nothing becomes
/// durable by that.
#[expect(unsafe_code, reason = "neither std nor nix nor rustix has it")]
pub(crate) fn write_back(file: &File) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: it takes numbers only, and the descriptor is open.
    Errno::result(unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, flags) })?;
    Ok(())
}
