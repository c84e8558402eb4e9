//! A store on the simulated file system that makes one mistake at a time: each is caught, by the crash
//! kind that is for it, under the rule that it breaks. Without a mistake the store passes.

#[path = "../examples/kv_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod kv_store;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use kv_store::KvStore;
use plugpull::oracle::Violation;
use plugpull::sim::{FileHandle, FileSystem, OpenOptions, Profile, SimFs};
use plugpull::{
    Action, Coverage, CrashKind, Failure, Finding, Recorder, RecoverRun, Report, Row,
    SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, Torture, Workload,
    WriteRun,
};
use twox_hash::XxHash3_64;

/// What the store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    AcksBeforeSync,
    /// The same, in a store that does in the end what fails on a disk in order, too.
    AcksBeforeSyncAndTidiesUp,
    SyncsBeforeWrite,
    /// A new segment's name is not made durable.
    NoDirectorySync,
    /// A new segment gets its name before its header is durable.
    RenamesUnsynced,
    /// A group that goes on in a new segment: only that one is synced.
    LeavesOldSegmentUnsynced,
    /// Recovery shows what it read, which may be in memory only.
    ServesUnsynced,
    /// Recovery syncs what it read; but after a failed sync memory shows what is not on the disk, and
    /// no later sync writes it.
    ServesWhatAFailedSyncLeft,
    RetriesSync,
    TakesShortWriteForWhole,
    /// An error, as on a full disk, stops a group half-way, and what was written of it stays.
    ForgetsRollback,
    /// Recovery cuts a torn group by forgetting where it was.
    LeavesStaleFrames,
    CountsTornEntry,
    ReplaysAcrossHoles,
    UnlinksNewestFirst,
    AcceptsFlippedBits,
    PanicsOnDamage,
    PanicsInWriter,
    FailsInRecovery,
    NeverEnds,
    NeverEndsWriting,
    /// On an error of the disk it tries again, for ever.
    NeverEndsAfterAnError,
    /// Recovery of damaged bytes looks for the rest, for ever.
    NeverEndsOnDamage,
}

/// A log in segments, in groups of a few entries. It is named after its mistake.
struct Store {
    mistake: Mistake,
    name: String,
}

impl Store {
    fn new(mistake: Mistake) -> Self {
        Self {
            mistake,
            name: format!("{mistake:?}"),
        }
    }
}

impl Subject for Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
        Err("it runs on the simulated file system only".into())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Err("it runs on the simulated file system only".into())
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Store {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        Log::open(run.fs, run.dir, self.mistake)?.carry_out(run.workload, run.recorder)
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        if self.mistake == Mistake::FailsInRecovery && run.fs.exists(run.dir.join(name_of(1))) {
            return Err("two segments are too many".into());
        }
        Log::open(run.fs, run.dir, self.mistake)?.show(survivors);
        Ok(())
    }

    /// What the groups of whole entries say was durable before them.
    fn vouched(&self, fs: &SimFs, dir: &Path) -> Option<u64> {
        let names = fs.read_dir(dir).unwrap_or_default();
        let names = names
            .iter()
            .filter(|name| name.strip_suffix(".seg").is_some());
        let files = names.filter_map(|name| fs.read(dir.join(name)).ok());
        let durable = |file: Vec<u8>| {
            let slots = file.get(HEADER_BYTES..).unwrap_or_default();
            let entries = slots.chunks_exact(SLOT_BYTES).filter_map(Entry::decode);
            entries.map(|entry| entry.durable).max()
        };
        files.filter_map(durable).max()
    }
}

const HEADER_BYTES: usize = 512;
/// Room for the longest payload of a tiny workload; torn in three places.
const SLOT_BYTES: usize = 1536;
const SLOTS: u64 = 4;
const SEGMENT_BYTES: usize = HEADER_BYTES + 4 * SLOT_BYTES;
/// Longer than a page, so that a full disk may stop it half-way.
const GROUP: usize = 3;

/// One entry in its slot: `number u64 | durable u64 | length u32 | checksum u64 | payload`.
#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    /// Everything below had been made durable when the entry's group was begun.
    durable: u64,
    payload: Vec<u8>,
    whole: bool,
}

const PAYLOAD_AT: usize = 28;

impl Entry {
    fn checksum(&self) -> u64 {
        let seed = self.number << 32 | self.durable;
        XxHash3_64::oneshot_with_seed(seed, &self.payload)
    }

    fn encode(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).expect("a short payload");
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend(self.durable.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(self.checksum().to_le_bytes());
        bytes.extend(&self.payload);
        bytes.resize(SLOT_BYTES, 0);
        bytes
    }

    /// Whole or not; `None` if nothing makes sense, as in a slot that was never written.
    fn decode_any(slot: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*slot.get(at..)?.first_chunk()?));
        let len = u32::from_le_bytes(*slot[16..].first_chunk()?);
        let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
        let mut entry = Self {
            number: word(0)?,
            durable: word(8)?,
            payload: slot.get(PAYLOAD_AT..PAYLOAD_AT + len)?.to_vec(),
            whole: true,
        };
        entry.whole = word(20)? == entry.checksum();
        Some(entry)
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        Self::decode_any(slot).filter(|entry| entry.whole)
    }
}

fn name_of(segment: u64) -> String {
    format!("{segment:04}.seg")
}

fn header_of(segment: u64) -> Vec<u8> {
    let mut bytes = b"segment ".to_vec();
    bytes.extend(segment.to_le_bytes());
    bytes.extend(XxHash3_64::oneshot_with_seed(segment, b"header").to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

struct Log<'a> {
    fs: &'a dyn FileSystem,
    dir: PathBuf,
    mistake: Mistake,
    /// By number: entries of segment n begin with n * SLOTS.
    segments: BTreeMap<u64, Box<dyn FileHandle>>,
    /// What recovery found.
    entries: Vec<Entry>,
    next: u64,
    trimmed: u64,
}

impl<'a> Log<'a> {
    /// Reads what is there, up to the first entry that is not whole, and writes it again: what is in
    /// memory may not be on the disk, and after a failed sync would never get there.
    fn open(fs: &'a dyn FileSystem, dir: &Path, mistake: Mistake) -> Result<Self, SubjectError> {
        if fs.read_dir(dir).is_err() {
            fs.create_dir(dir)?;
        }
        fs.sync_dir(dir.parent().ok_or("no parent")?)?;
        let mut log = Self {
            fs,
            dir: dir.to_owned(),
            mistake,
            segments: BTreeMap::new(),
            entries: Vec::new(),
            next: 0,
            trimmed: 0,
        };
        let mut slots = BTreeMap::new();
        for name in fs.read_dir(dir)? {
            let Some(segment) = name.strip_suffix(".seg") else {
                continue;
            };
            let segment: u64 = segment.parse()?;
            let mut options = OpenOptions::new();
            let file = fs.open(&dir.join(&name), options.read(true).write(true))?;
            let mut bytes = vec![0; SEGMENT_BYTES];
            let len = file.read_at(&mut bytes, 0)?;
            let is_whole = len == SEGMENT_BYTES && bytes.starts_with(&header_of(segment));
            if mistake == Mistake::PanicsOnDamage {
                assert!(is_whole, "this cannot be");
            }
            if !is_whole && mistake == Mistake::NeverEndsOnDamage {
                loop {
                    fs.read_dir(dir)?;
                }
            }
            if !is_whole {
                return Err(format!("segment {segment} is damaged").into());
            }
            let numbers = segment * SLOTS..;
            let found = bytes[HEADER_BYTES..].chunks_exact(SLOT_BYTES);
            slots.extend(numbers.zip(found.map(<[u8]>::to_vec)));
            log.segments.insert(segment, file);
        }
        if log.segments.is_empty() {
            log.create_segment(0)?;
        }
        log.find(&slots)?;
        log.write_again(&slots)?;
        Ok(log)
    }

    /// Finds the entries in the slots.
    fn find(&mut self, slots: &BTreeMap<u64, Vec<u8>>) -> Result<(), SubjectError> {
        let first = *self.segments.keys().next().expect("one was created");
        for (index, segment) in (first..).zip(self.segments.keys()) {
            if index != *segment {
                return Err(format!("segment {index} is missing").into());
            }
        }
        self.trimmed = first * SLOTS;
        self.next = self.trimmed;
        for (number, slot) in slots {
            let entry = Entry::decode_any(slot);
            match (entry, self.mistake) {
                (Some(entry), Mistake::AcceptsFlippedBits) if entry.number == self.next => {
                    self.entries.push(entry);
                    self.next = number + 1;
                }
                (Some(entry), Mistake::CountsTornEntry) => {
                    self.entries.extend(entry.whole.then_some(entry));
                    self.next = number + 1;
                }
                (Some(entry), Mistake::ReplaysAcrossHoles) if entry.whole => {
                    self.entries.push(entry);
                    self.next = number + 1;
                }
                (Some(entry), _) if entry.whole => {
                    if entry.number == *number && self.next == *number {
                        self.next += 1;
                        self.entries.push(entry);
                    } else if entry.number != *number || entry.durable > self.next {
                        return Err(format!("entry {} is damaged", self.next).into());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes what is shown durable, and destroys what is not.
    fn write_again(&mut self, slots: &BTreeMap<u64, Vec<u8>>) -> io::Result<()> {
        if self.mistake == Mistake::ServesUnsynced {
            return Ok(());
        }
        for (segment, file) in &self.segments {
            if self.mistake != Mistake::ServesWhatAFailedSyncLeft {
                write_all(&**file, &header_of(*segment), 0)?;
            }
            for number in segment * SLOTS..(segment + 1) * SLOTS {
                let old = slots.get(&number);
                let zeros = vec![0; SLOT_BYTES];
                let bytes = if number < self.next {
                    if self.mistake == Mistake::ServesWhatAFailedSyncLeft {
                        continue;
                    }
                    old.unwrap_or(&zeros)
                } else if self.mistake == Mistake::LeavesStaleFrames {
                    continue;
                } else {
                    &zeros
                };
                write_all(&**file, bytes, offset_of(number))?;
            }
            file.sync_all()?;
        }
        self.fs.sync_dir(&self.dir)
    }

    fn create_segment(&mut self, segment: u64) -> io::Result<()> {
        let new = self.dir.join("new");
        let path = self.dir.join(name_of(segment));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = self.fs.open(&new, options)?;
        file.set_len(SEGMENT_BYTES as u64)?;
        write_all(&*file, &header_of(segment), 0)?;
        if self.mistake != Mistake::RenamesUnsynced {
            file.sync_all()?;
        }
        self.fs.rename(&new, &path)?;
        if self.mistake != Mistake::NoDirectorySync {
            self.fs.sync_dir(&self.dir)?;
        }
        self.segments.insert(segment, file);
        Ok(())
    }

    fn show(&self, survivors: &mut Survivors) {
        for (position, entry) in (self.trimmed..).zip(&self.entries) {
            let position = match self.mistake {
                Mistake::ReplaysAcrossHoles => entry.number,
                _ => position,
            };
            survivors.push(position, &entry.payload);
        }
    }

    fn carry_out(mut self, workload: &Workload, recorder: &Recorder) -> Result<(), SubjectError> {
        let mut actions = workload.actions(0);
        for len in (1..=GROUP).cycle() {
            let group: Vec<Action> = actions.by_ref().take(len).collect();
            if group.is_empty() {
                break;
            }
            self.append(&group, workload, recorder)?;
            match self.mistake {
                Mistake::PanicsInWriter if self.next > 4 => panic!("no more paper"),
                Mistake::NeverEnds => loop {
                    self.fs.read_dir(&self.dir)?;
                },
                Mistake::NeverEndsWriting => loop {
                    let first = self.segments.values().next().expect("there is one");
                    write_all(&**first, &[0], 0)?;
                },
                _ => {}
            }
            if let Some(every) = workload.trim_every.map(u64::from)
                && self.next >= self.trimmed + every.max(2 * SLOTS)
            {
                recorder.trim_begin(self.next);
                self.trim(self.next)?;
                recorder.trim_end(self.next);
            }
        }
        if self.mistake == Mistake::AcksBeforeSyncAndTidiesUp {
            // Nothing is there to be tidied up.
            let removed = self.fs.remove_file(&self.dir.join("new"));
            assert!(removed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        }
        Ok(())
    }

    /// Appends a group: its entries are durable together.
    fn append(
        &mut self,
        group: &[Action],
        workload: &Workload,
        recorder: &Recorder,
    ) -> Result<(), SubjectError> {
        let numbers = self.next..self.next + group.len() as u64;
        let touched = numbers.start / SLOTS..=(numbers.end - 1) / SLOTS;
        for segment in touched.clone() {
            if !self.segments.contains_key(&segment) {
                self.create_segment(segment)?;
            }
        }
        let mut writes: BTreeMap<u64, (u64, Vec<u8>)> = BTreeMap::new();
        for (number, action) in numbers.clone().zip(group) {
            recorder.attempt(action.id);
            let entry = Entry {
                number,
                durable: self.next,
                payload: workload.payload(action.id),
                whole: true,
            };
            let (_, bytes) = writes
                .entry(number / SLOTS)
                .or_insert_with(|| (offset_of(number), Vec::new()));
            bytes.extend(entry.encode());
        }
        let ack_all = |recorder: &Recorder| {
            for (number, action) in numbers.clone().zip(group) {
                recorder.ack(action.id, number);
            }
        };
        if self.mistake == Mistake::SyncsBeforeWrite {
            self.sync(touched.clone())?;
        }
        let written = self.write_group(&writes);
        if written.is_err() && self.mistake == Mistake::NeverEndsAfterAnError {
            loop {
                self.fs.read_dir(&self.dir)?;
            }
        }
        if let Err(error) = written {
            if self.mistake != Mistake::ForgetsRollback {
                if error.kind() != io::ErrorKind::StorageFull {
                    return Err(error.into());
                }
                self.roll_back(&writes)?;
            }
            for action in group {
                recorder.refused(action.id);
            }
            return Ok(());
        }
        match self.mistake {
            Mistake::AcksBeforeSync | Mistake::AcksBeforeSyncAndTidiesUp => {
                ack_all(recorder);
                self.sync(touched)?;
            }
            Mistake::SyncsBeforeWrite => ack_all(recorder),
            Mistake::LeavesOldSegmentUnsynced => {
                self.sync(*touched.end()..=*touched.end())?;
                ack_all(recorder);
            }
            Mistake::RetriesSync => {
                self.sync(touched.clone()).or_else(|_| self.sync(touched))?;
                ack_all(recorder);
            }
            _ => {
                self.sync(touched)?;
                ack_all(recorder);
            }
        }
        self.next = numbers.end;
        Ok(())
    }

    fn write_group(&self, writes: &BTreeMap<u64, (u64, Vec<u8>)>) -> io::Result<()> {
        for (segment, (offset, bytes)) in writes {
            let file = &*self.segments[segment];
            if self.mistake == Mistake::TakesShortWriteForWhole {
                file.write_at(bytes, *offset)?;
            } else {
                write_all(file, bytes, *offset)?;
            }
        }
        Ok(())
    }

    /// Nothing of the group may come back.
    fn roll_back(&self, writes: &BTreeMap<u64, (u64, Vec<u8>)>) -> io::Result<()> {
        for (segment, (offset, bytes)) in writes {
            let file = &*self.segments[segment];
            write_all(file, &vec![0; bytes.len()], *offset)?;
            file.sync_data()?;
        }
        Ok(())
    }

    fn sync(&self, segments: std::ops::RangeInclusive<u64>) -> io::Result<()> {
        self.segments
            .range(segments)
            .try_for_each(|(_, file)| file.sync_data())
    }

    /// Removes the segments that lie below a position, one after the other: what is left is one run at
    /// any moment.
    fn trim(&mut self, below: u64) -> io::Result<()> {
        let kept = (below - 1) / SLOTS;
        let mut doomed: Vec<u64> = self.segments.range(..kept).map(|(n, _)| *n).collect();
        if self.mistake == Mistake::UnlinksNewestFirst {
            doomed.reverse();
        }
        for segment in doomed {
            self.segments.remove(&segment);
            self.fs.remove_file(&self.dir.join(name_of(segment)))?;
            self.fs.sync_dir(&self.dir)?;
        }
        self.trimmed = kept * SLOTS;
        Ok(())
    }
}

fn offset_of(number: u64) -> u64 {
    HEADER_BYTES as u64 + number % SLOTS * SLOT_BYTES as u64
}

fn write_all(file: &dyn FileHandle, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

const SIMULATED: [CrashKind; 3] = [CrashKind::Power, CrashKind::Fault, CrashKind::Rot];

/// Most are caught in one of the first; a row ends with its third failure.
fn rounds_for(mistake: Mistake) -> u64 {
    match mistake {
        Mistake::NeverEnds
        | Mistake::NeverEndsWriting
        | Mistake::NeverEndsAfterAnError
        | Mistake::NeverEndsOnDamage => 1,
        // A crash in the right moment, a recovery, a write, and another crash.
        Mistake::LeavesStaleFrames => 80,
        _ => 30,
    }
}

fn torture(mistake: Mistake, kind: CrashKind) -> Torture {
    let torture = Torture::new(Store::new(mistake)).crash([kind]);
    torture.rounds(rounds_for(mistake)).seed(1)
}

/// The first broken promise that a crash kind brings to light.
#[track_caller]
fn caught(mistake: Mistake, kind: CrashKind) -> Violation {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = torture(mistake, kind)
        .profiles([Profile::Strict])
        .artifacts(artifacts.path());
    match torture.run() {
        Err(Failure::Violation(rows)) => {
            let finding = Finding::load(&rows[0].failures[0].folder);
            finding.expect("it was saved").violation
        }
        other => panic!("{mistake:?} is not caught: {other:?}"),
    }
}

macro_rules! assert_caught {
    ($mistake:ident, $kind:ident, $rule:pat) => {
        let violation = caught(Mistake::$mistake, CrashKind::$kind);
        assert!(matches!(violation, $rule), "{violation:?}");
    };
}

#[track_caller]
fn assert_broken(violation: &Violation, parts: [&str; 2]) {
    let Violation::Broken { stage, detail } = violation else {
        panic!("{violation:?}")
    };
    assert!(stage.contains(parts[0]), "{stage}");
    assert!(detail.contains(parts[1]), "{detail}");
}

#[test]
fn without_a_mistake_it_passes() {
    let torture = Torture::new(Store::new(Mistake::None)).crash(SIMULATED);
    let Report { rows } = torture.rounds(3).seed(1).run().unwrap();
    assert!(rows[0].tally.crash_states > 1000, "{rows:?}");
    assert!(rows[1].tally.faults > 0, "{rows:?}");
    assert!(rows[2].tally.detected > 0, "{rows:?}");
}

#[test]
fn power_finds_an_acknowledgement_before_the_sync() {
    assert_caught!(AcksBeforeSync, Power, Violation::LostAck { .. });
}

/// An error that the disk gives in order is none of those from which on crash states are looked at.
#[test]
fn power_finds_the_same_in_a_life_that_ends_with_an_error_of_its_own() {
    assert_caught!(AcksBeforeSyncAndTidiesUp, Power, Violation::LostAck { .. });
}

#[test]
fn power_finds_a_sync_before_the_write() {
    assert_caught!(SyncsBeforeWrite, Power, Violation::LostAck { .. });
}

#[test]
fn power_finds_a_new_file_without_a_durable_name() {
    // Recovery has made the first one's durable.
    let first_of_the_next = SLOTS;
    let violation = caught(Mistake::NoDirectorySync, CrashKind::Power);
    assert!(
        matches!(violation, Violation::LostAck { position, .. } if position == first_of_the_next),
        "{violation:?}"
    );
}

#[test]
fn power_finds_a_name_that_is_durable_before_its_bytes() {
    let violation = caught(Mistake::RenamesUnsynced, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "segment 0 is damaged"]);
}

#[test]
fn power_finds_an_old_file_that_is_not_synced_before_the_new_one_takes_over() {
    assert_caught!(LeavesOldSegmentUnsynced, Power, Violation::LostAck { .. });
}

/// Killed, recovered, and then the power is lost.
#[test]
fn power_finds_a_recovery_that_serves_what_is_not_durable() {
    assert_caught!(
        ServesUnsynced,
        Power,
        Violation::Unshown { found: None, .. }
    );
}

#[test]
fn power_finds_old_frames_behind_a_cut() {
    assert_caught!(LeavesStaleFrames, Power, Violation::Resurrected { .. });
}

#[test]
fn power_finds_a_torn_entry_that_is_counted() {
    // What was acknowledged behind it stands one lower; nothing stands where the last one was.
    assert_caught!(
        CountsTornEntry,
        Power,
        Violation::WrongAck { .. } | Violation::LostAck { .. }
    );
}

#[test]
fn power_finds_a_replay_across_a_hole() {
    assert_caught!(ReplaysAcrossHoles, Power, Violation::Hole { .. });
}

#[test]
fn power_finds_a_trim_that_begins_at_the_wrong_end() {
    let violation = caught(Mistake::UnlinksNewestFirst, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "is missing"]);
}

#[test]
fn fault_finds_a_failed_sync_that_is_tried_again() {
    assert_caught!(RetriesSync, Fault, Violation::LostAck { .. });
}

/// A sync fails, the process is started again, its sync succeeds, and then the power is lost.
#[test]
fn fault_finds_a_recovery_that_believes_what_memory_shows_after_a_failed_sync() {
    assert_caught!(ServesWhatAFailedSyncLeft, Fault, Violation::Unshown { .. });
}

#[test]
fn fault_finds_a_short_write_that_is_taken_for_a_whole_one() {
    assert_caught!(TakesShortWriteForWhole, Fault, Violation::LostAck { .. });
}

#[test]
fn fault_finds_half_a_group_that_a_failed_write_has_left() {
    assert_caught!(ForgetsRollback, Fault, Violation::Phantom { .. });
}

#[test]
fn rot_finds_flipped_bits_that_are_accepted() {
    assert_caught!(AcceptsFlippedBits, Rot, Violation::Mangled { .. });
}

#[test]
fn rot_finds_a_panic_in_the_recovery_of_damaged_bytes() {
    let violation = caught(Mistake::PanicsOnDamage, CrashKind::Rot);
    let parts = ["recovery of damaged bytes", "panicked: this cannot be"];
    assert_broken(&violation, parts);
}

#[test]
fn a_panic_in_the_writer_is_told_with_its_message() {
    for kind in [CrashKind::Power, CrashKind::Fault] {
        let violation = caught(Mistake::PanicsInWriter, kind);
        assert_broken(&violation, ["the writer failed", "panicked: no more paper"]);
    }
}

#[test]
fn an_error_in_recovery_is_told_in_the_store_s_words() {
    let violation = caught(Mistake::FailsInRecovery, CrashKind::Power);
    assert_broken(&violation, ["recovery failed", "two segments are too many"]);
}

#[test]
fn a_store_that_never_ends_is_stopped_by_the_file_system() {
    let violation = caught(Mistake::NeverEnds, CrashKind::Power);
    assert_broken(&violation, ["the writer failed", "has not come to an end"]);
}

/// It costs memory to keep what it does: it is stopped long before one that only reads.
#[test]
fn a_store_that_never_ends_writing_is_stopped_by_the_file_system() {
    let violation = caught(Mistake::NeverEndsWriting, CrashKind::Power);
    assert_broken(&violation, ["the writer failed", "has not come to an end"]);
}

/// All of a row but its times, and where its failures were saved.
fn without_times(row: &Row) -> serde_json::Value {
    let mut row = serde_json::to_value(row).expect("plain data");
    let fields = row.as_object_mut().expect("a row has fields");
    fields.retain(|field, _| field != "failures" && !field.ends_with("_s"));
    row
}

#[test]
fn the_same_seed_gives_the_same_rows_however_many_threads_share_them() {
    let rows = |seed, jobs| {
        let torture = Torture::new(Store::new(Mistake::None)).crash(SIMULATED);
        let report = torture.rounds(2).seed(seed).jobs(jobs).run().unwrap();
        report.rows.iter().map(without_times).collect::<Vec<_>>()
    };
    let first = rows(7, 1);
    assert_eq!(first, rows(7, 1));
    assert_eq!(first, rows(7, 2));
    assert_ne!(first, rows(8, 1));
}

#[test]
fn the_same_seed_gives_the_same_failure_with_the_same_story() {
    let story = || {
        let artifacts = tempfile::tempdir().expect("a directory");
        let torture = torture(Mistake::RetriesSync, CrashKind::Fault);
        let Err(Failure::Violation(rows)) = torture.artifacts(artifacts.path()).run() else {
            panic!("it is not caught")
        };
        let finding = Finding::load(&rows[0].failures[0].folder).expect("it was saved");
        (without_times(&rows[0]), finding.story())
    };
    assert_eq!(story(), story());
}

#[test]
fn a_store_on_real_files_only_has_rows_that_say_why_they_are_empty() {
    let rows = match Torture::new(KvStore::CORRECT).rounds(3).seed(1).run() {
        // So short a torture may show nothing.
        Ok(Report { rows }) | Err(Failure::Vacuous(rows)) => rows,
        Err(other) => panic!("{other}"),
    };
    for kind in SIMULATED {
        let row = rows.iter().find(|row| row.crash == kind);
        let row = row.expect("it is not left out in silence");
        let why = row.unavailable.as_deref().expect("it cannot be run");
        assert!(why.contains("Subject::simulated"), "{why}");
        assert_eq!((row.tally.rounds, row.coverage), (0, Coverage::None));
    }
}

#[test]
fn to_ask_for_the_simulated_disk_by_name_is_an_error_if_the_store_does_not_run_on_it() {
    for kind in SIMULATED {
        let Err(Failure::Environment(why)) = Torture::new(KvStore::CORRECT).crash([kind]).run()
        else {
            panic!("it runs")
        };
        let expected = format!("crash kind '{kind}' is unavailable");
        assert!(why.contains(&expected), "{why}");
        assert!(why.contains("Subject::simulated"), "{why}");
    }
}

/// A disk that fails excuses a store that stops working, not one that does not stop.
#[test]
fn fault_finds_a_store_that_never_ends_after_an_error() {
    let violation = caught(Mistake::NeverEndsAfterAnError, CrashKind::Fault);
    assert_broken(&violation, ["the writer failed", "not come to an end"]);
}

/// Damage excuses a store that refuses, not one that looks for ever.
#[test]
fn rot_finds_a_recovery_of_damaged_bytes_that_never_ends() {
    let violation = caught(Mistake::NeverEndsOnDamage, CrashKind::Rot);
    assert_broken(
        &violation,
        ["recovery of damaged bytes", "not come to an end"],
    );
}
