//! Stores to a shared mapping: entries that no call writes.
//!
//! ```text
//! writer                          copies of the directory
//! write(other)                    after write(other)
//! store entry 1, acknowledge it
//! write(other)                    before write(other): the last copy does not hold entry 1
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

use crate::files::open;
use crate::verdict::{is_caught, passes, torture};

/// Two pages: the payload begins in the first, the mark that makes it whole ends the second.
const SLOT_BYTES: usize = 8192;
const SLOTS: usize = 48;
/// Behind the slots: two counters, in pages of their own, and bytes between them that take time to copy.
const TWINS: [usize; 2] = [
    SLOTS * SLOT_BYTES,
    SLOTS * SLOT_BYTES + PAGE_BYTES + BALLAST_BYTES,
];
const BALLAST_BYTES: usize = 64 * PAGE_BYTES;
const PAGE_BYTES: usize = 4096;
const FILE_BYTES: usize = TWINS[1] + PAGE_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Acknowledges an entry before it is stored.
    AcksEarly,
    /// Stores to the second twin first.
    TurnsTwinsRound,
}

/// A log of slots in a mapped file. A call on another file comes before each entry is stored.
struct Slots {
    name: &'static str,
    fault: Fault,
    /// A thread of its own raises two counters in two pages, the first one first.
    twins: bool,
}

/// A mapped file, as words.
struct Mapped(MmapRaw);

impl Mapped {
    fn open(file: &File) -> io::Result<Self> {
        file.set_len(FILE_BYTES as u64)?;
        file.write_all_at(&vec![7; BALLAST_BYTES], (TWINS[0] + PAGE_BYTES) as u64)?;
        MmapOptions::new().map_raw(file).map(Self)
    }

    #[expect(unsafe_code, reason = "memory shared with a file")]
    #[expect(clippy::cast_ptr_alignment, reason = "a map begins on a page")]
    fn words(&self) -> &[AtomicU64] {
        let words = self.0.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the map is page-aligned and `len` bytes long, and lives as long as `self`; nothing but
        // this process stores to it, through atomics only.
        unsafe { std::slice::from_raw_parts(words, self.0.len() / 8) }
    }

    fn store(&self, at: usize, bytes: &[u8]) {
        for (word, bytes) in self.words()[at / 8..].iter().zip(bytes.chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
    }

    /// What makes a slot whole comes last.
    fn fill(&self, slot: usize, payload: &[u8]) {
        let at = slot * SLOT_BYTES;
        self.store(at, &(payload.len() as u64).to_le_bytes());
        self.store(at + 8, payload);
        fence(Ordering::Release);
        self.store(at + SLOT_BYTES - 8, &[1]);
    }

    fn twin(&self, number: usize) -> &AtomicU64 {
        &self.words()[TWINS[number] / 8]
    }

    /// Raises both, the first one first, and then rests; or the second one first, and long before the other.
    fn raise_twins(&self, fault: Fault, over: &AtomicBool) {
        let rest = || std::thread::sleep(Duration::from_millis(1));
        while !over.load(Ordering::Relaxed) {
            if fault == Fault::TurnsTwinsRound {
                self.twin(1).fetch_add(1, Ordering::SeqCst);
                rest();
                self.twin(0).fetch_add(1, Ordering::SeqCst);
            } else {
                self.twin(0).fetch_add(1, Ordering::SeqCst);
                self.twin(1).fetch_add(1, Ordering::SeqCst);
            }
            rest();
        }
    }
}

impl Subject for Slots {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let mapped = Mapped::open(&open(run.dir, "log")?)?;
        let mut other = open(run.dir, "other")?;
        let used = slots(&fs::read(run.dir.join("log"))?).count();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if self.twins {
                scope.spawn(|| mapped.raise_twins(self.fault, &over));
            }
            let mut actions = (used..SLOTS).zip(run.workload.actions(0));
            let written = actions.try_for_each(|(slot, action)| {
                run.recorder.attempt(action.id);
                if self.fault == Fault::AcksEarly {
                    run.recorder.ack(action.id, slot as u64);
                }
                (0..3).try_for_each(|_| other.write_all(b"x"))?;
                mapped.fill(slot, &run.workload.payload(action.id));
                if self.fault != Fault::AcksEarly {
                    run.recorder.ack(action.id, slot as u64);
                }
                io::Result::Ok(())
            });
            over.store(true, Ordering::Relaxed);
            Ok(written?)
        })
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let bytes = match fs::read(run.dir.join("log")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        if bytes.len() < FILE_BYTES {
            return Ok(());
        }
        let twin = |number: usize| {
            let word = bytes[TWINS[number]..].first_chunk::<8>();
            word.map(|word| u64::from_le_bytes(*word)).ok_or("no twin")
        };
        let (first, second) = (twin(0)?, twin(1)?);
        if second > first {
            return Err(format!("the second twin says {second}, the first one {first}").into());
        }
        for (slot, payload) in slots(&bytes).enumerate() {
            survivors.push(slot as u64, payload.ok_or("a bad length")?);
        }
        Ok(())
    }
}

/// The payloads of whole slots.
fn slots(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
    let whole = slots
        .iter()
        .take(SLOTS)
        .filter(|slot| slot[SLOT_BYTES - 8] == 1);
    whole.map(|slot| {
        let (len, payload) = slot.split_first_chunk::<8>()?;
        payload.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)
    })
}

const fn slots_with(name: &'static str, fault: Fault, twins: bool) -> Slots {
    Slots { name, fault, twins }
}

#[test]
fn a_store_that_writes_through_a_mapping_is_not_accused() {
    passes(torture(slots_with("mapped", Fault::None, false)).run());
}

#[test]
fn a_mapped_store_that_acknowledges_early_is_caught() {
    let outcome = torture(slots_with("mapped-early", Fault::AcksEarly, false)).run();
    is_caught(outcome, "lost");
}

/// Pages of a mapping are copied one after the other while another thread stores to them.
#[test]
fn a_mapping_is_copied_as_it_was_at_one_moment() {
    passes(torture(slots_with("twins", Fault::None, true)).run());
}

#[test]
fn a_mapping_that_is_wrong_at_one_moment_is_caught() {
    let outcome = torture(slots_with("twins-round", Fault::TurnsTwinsRound, true)).run();
    is_caught(outcome, "the second twin says");
}
