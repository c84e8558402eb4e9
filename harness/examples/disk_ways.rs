//! Three ways to the disk that no library in between can watch: `O_DIRECT`, a shared mapping, `io_uring`. The
//! recorded device sees what the kernel writes, so `disk` covers them all.
//!
//! ```sh
//! cargo build --release -p plugpull --example disk_ways
//! sudo target/release/examples/disk_ways run direct mapped ring --crash disk --fs ext4 --duration 30s
//! sudo target/release/examples/disk_ways run direct/unsynced --crash disk --fs ext4    # exit status 1
//! ```
//!
//! The store is the same each time: a file of slots, one record a slot, with a checksum. A record is
//! acknowledged after the sync; in the `unsynced` version, after the write. Each comes with the one sync
//! that its way needs: `O_DIRECT` goes past the page cache, not past the disk's own; a mapping is written
//! back by `msync`; a ring's sync must be linked behind the write, or it may overtake it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;

use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode, types};
use libc::O_DIRECT;
use memmap2::MmapMut;
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

fn main() -> ExitCode {
    let stores = [Way::Direct, Way::Mapped, Way::Ring]
        .into_iter()
        .flat_map(|way| [true, false].map(|synced| Slots { way, synced }));
    let subjects: Vec<Box<dyn Subject>> = stores
        .map(|store| Box::new(store) as Box<dyn Subject>)
        .collect();
    plugpull::cli::main(&subjects)
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    Mapped,
    Ring,
}

/// A file of slots.
struct Slots {
    way: Way,
    synced: bool,
}

/// A record may be as long as this, less its header.
const SLOT_BYTES: usize = 8192;
const SLOTS: usize = 256;
const HEADER_BYTES: usize = 16;
const NAME: &str = "slots";
/// What `O_DIRECT` asks of memory, on every common device.
const ALIGNMENT: usize = 4096;

impl Subject for Slots {
    fn name(&self) -> &'static str {
        match (self.way, self.synced) {
            (Way::Direct, true) => "direct",
            (Way::Direct, false) => "direct/unsynced",
            (Way::Mapped, true) => "mapped",
            (Way::Mapped, false) => "mapped/unsynced",
            (Way::Ring, true) => "ring",
            (Way::Ring, false) => "ring/unsynced",
        }
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let used = records(run.dir)?.len();
        let mut disk = Disk::open(self.way, run.dir)?;
        let actions = run.workload.actions(0).zip(used..SLOTS);
        for (action, slot) in actions {
            let payload = run.workload.payload(action.id);
            run.recorder.attempt(action.id);
            disk.write(slot, &encode(slot, &payload), self.synced)?;
            run.recorder.ack(action.id, slot as u64);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        for (slot, record) in records(run.dir)?.iter().enumerate() {
            survivors.push(slot as u64, record);
        }
        Ok(())
    }
}

/// The records up to the first slot that holds none. A file that is not there, or short, is one that no
/// writer has come to use.
fn records(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let bytes = match std::fs::read(dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let slots = bytes.chunks_exact(SLOT_BYTES).enumerate();
    Ok(slots
        .map_while(|(number, slot)| decode(number, slot))
        .collect())
}

/// Number, length, checksum of both and of the record, the record.
fn encode(number: usize, record: &[u8]) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SLOT_BYTES);
    slot.extend(u32::try_from(number).expect("few slots").to_le_bytes());
    slot.extend(
        u32::try_from(record.len())
            .expect("short records")
            .to_le_bytes(),
    );
    slot.extend(checksum(&slot, record).to_le_bytes());
    slot.extend(record);
    slot.resize(SLOT_BYTES, 0);
    slot
}

fn decode(number: usize, slot: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(*slot[at..].first_chunk().expect("a whole slot"));
    let sum = u64::from_le_bytes(*slot[8..].first_chunk().expect("a whole slot"));
    let record = slot.get(HEADER_BYTES..HEADER_BYTES.checked_add(word(4) as usize)?)?;
    let valid = word(0) as usize == number && sum == checksum(&slot[..8], record);
    valid.then(|| record.to_vec())
}

fn checksum(header: &[u8], record: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(&[header, record].concat())
}

/// The file, open in its way.
enum Disk {
    Direct(File),
    Mapped(MmapMut),
    Ring(File, Box<IoUring>),
}

impl Disk {
    fn open(way: Way, dir: &Path) -> io::Result<Self> {
        let flags = if matches!(way, Way::Direct) {
            O_DIRECT
        } else {
            0
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(flags)
            .open(dir.join(NAME))?;
        // The file, its length and its name, before anything that is acknowledged.
        file.set_len((SLOTS * SLOT_BYTES) as u64)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(match way {
            Way::Direct => Self::Direct(file),
            #[expect(unsafe_code, reason = "a shared mapping of a file")]
            // SAFETY: nobody else has the file open, and nobody shortens it.
            Way::Mapped => Self::Mapped(unsafe { MmapMut::map_mut(&file) }?),
            Way::Ring => Self::Ring(file, Box::new(IoUring::new(4)?)),
        })
    }

    fn write(&mut self, slot: usize, bytes: &[u8], sync: bool) -> io::Result<()> {
        let offset = slot * SLOT_BYTES;
        match self {
            Self::Direct(file) => {
                let mut memory = vec![0; SLOT_BYTES + ALIGNMENT];
                let skip = memory.as_ptr().align_offset(ALIGNMENT);
                let aligned = &mut memory[skip..][..SLOT_BYTES];
                aligned.copy_from_slice(bytes);
                file.write_all_at(aligned, offset as u64)?;
                if sync { file.sync_data() } else { Ok(()) }
            }
            Self::Mapped(map) => {
                map[offset..][..SLOT_BYTES].copy_from_slice(bytes);
                if sync {
                    map.flush_range(offset, SLOT_BYTES)
                } else {
                    Ok(())
                }
            }
            Self::Ring(file, ring) => submit(ring, file, bytes, offset as u64, sync),
        }
    }
}

/// A write and, linked behind it, a sync.
fn submit(
    ring: &mut IoUring,
    file: &File,
    bytes: &[u8],
    offset: u64,
    sync: bool,
) -> io::Result<()> {
    let fd = types::Fd(file.as_raw_fd());
    let len = u32::try_from(bytes.len()).expect("a slot");
    let write = opcode::Write::new(fd, bytes.as_ptr(), len)
        .offset(offset)
        .build();
    let fsync = opcode::Fsync::new(fd)
        .flags(types::FsyncFlags::DATASYNC)
        .build();
    let entries = if sync {
        vec![write.flags(Flags::IO_LINK), fsync]
    } else {
        vec![write]
    };
    #[expect(
        unsafe_code,
        reason = "the kernel reads the bytes while the ring works"
    )]
    // SAFETY: this function does not return before every entry has completed, and `bytes` and `file`
    // outlive the call.
    unsafe { ring.submission().push_multiple(&entries) }.map_err(io::Error::other)?;
    ring.submit_and_wait(entries.len())?;
    for done in ring.completion() {
        match done.result() {
            error if error < 0 => return Err(io::Error::from_raw_os_error(-error)),
            // The link breaks behind a short write, so the sync has not been done.
            written if done.user_data() == 0 && written != 0 && written.cast_unsigned() < len => {
                return Err(io::ErrorKind::WriteZero.into());
            }
            _ => {}
        }
    }
    Ok(())
}
