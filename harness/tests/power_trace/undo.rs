//! A table in a mapped file that is changed in place: a page may get to the disk as soon as it is stored to, so
//! what undoes a change has to be durable before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapMut;
use plugpull::{Failure, RecoverRun, Report, Subject, SubjectError, Survivors, WriteRun};
use twox_hash::XxHash3_64;

use crate::case::{is_caught, passes, torture};
use crate::slot::{fill, payloads};

/// A page, of which the first bytes count.
const HEADER_BYTES: usize = 4096;
const SLOT_BYTES: usize = 8192;
const SLOTS: usize = 24;
/// Of one run.
const ENTRIES: usize = 3;

/// The number of slots in use, and a checksum of them.
type Header = [u8; 16];

struct Table {
    name: &'static str,
    /// It stores to its pages before what undoes that is durable.
    is_early: bool,
}

/// What stands in the files.
struct Opened {
    map: MmapMut,
    undo: File,
    /// The number of slots in use.
    used: usize,
}

fn header(map: &[u8], used: usize) -> Header {
    let slots = &map[HEADER_BYTES..][..used * SLOT_BYTES];
    let sum = XxHash3_64::oneshot_with_seed(used as u64, slots);
    let mut header = [0; 16];
    header[..8].copy_from_slice(&(used as u64).to_le_bytes());
    header[8..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The number of slots in use by a header. `None`: the slots are not those that it knows.
fn used_by(told: &[u8], map: &[u8]) -> Option<usize> {
    let (used, _) = told.split_first_chunk::<8>()?;
    let used = usize::try_from(u64::from_le_bytes(*used)).ok()?;
    let is_told = used <= SLOTS && told == header(map, used);
    is_told.then_some(used)
}

/// Opens both files; what is unfinished is undone, and that is durable.
fn open(dir: &Path) -> io::Result<Opened> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let table = options.open(dir.join("table"))?;
    table.set_len((HEADER_BYTES + SLOTS * SLOT_BYTES) as u64)?;
    table.sync_all()?;
    let undo = options.open(dir.join("undo"))?;
    undo.set_len(size_of::<Header>() as u64)?;
    undo.sync_all()?;
    File::open(dir)?.sync_all()?;
    #[expect(unsafe_code, reason = "memory shared with a file")]
    // SAFETY: no other process changes the file.
    let mut map = unsafe { MmapMut::map_mut(&table) }?;
    let mut undone = Header::default();
    undo.read_exact_at(&mut undone, 0)?;
    let told = used_by(&map[..size_of::<Header>()], &map);
    let used = told.or_else(|| used_by(&undone, &map)).unwrap_or(0);
    let header = header(&map, used);
    map[..header.len()].copy_from_slice(&header);
    map.flush()?;
    Ok(Opened { map, undo, used })
}

fn store(map: &mut [u8], number: usize, payload: &[u8]) {
    let slot = HEADER_BYTES + number * SLOT_BYTES;
    fill(&mut map[slot..][..SLOT_BYTES], payload);
    let header = header(map, number + 1);
    map[..header.len()].copy_from_slice(&header);
}

impl Subject for Table {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let Opened {
            mut map,
            undo,
            used,
        } = open(run.dir)?;
        let actions = run.workload.actions(0).take(ENTRIES);
        for (number, action) in (used..SLOTS).zip(actions) {
            let payload = run.workload.payload(action.id);
            run.recorder.attempt(action.id);
            let undone = header(&map, number);
            if self.is_early {
                store(&mut map, number, &payload);
            }
            undo.write_all_at(&undone, 0)?;
            undo.sync_data()?;
            if !self.is_early {
                store(&mut map, number, &payload);
            }
            map.flush()?;
            run.recorder.ack(action.id, number as u64);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let Opened { map, used, .. } = open(run.dir)?;
        let slots = payloads(&map[HEADER_BYTES..], SLOT_BYTES);
        for (number, payload) in slots.take(used).enumerate() {
            survivors.push(number as u64, payload);
        }
        Ok(())
    }
}

fn run(name: &'static str, is_early: bool, rounds: u64) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().expect("a directory");
    torture(Table { name, is_early }, rounds, dir.path()).run()
}

#[test]
fn a_page_is_stored_to_after_what_undoes_it_is_durable() {
    passes(run("undo-first", false, 2));
}

/// The page is written back before the sync of the other file counts.
#[test]
fn a_page_that_is_stored_to_before_what_undoes_it_is_durable_is_caught() {
    is_caught(run("page-first", true, 4), "lost");
}
