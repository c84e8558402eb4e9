//! The store: a log in segments, with one mistake.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use plugpull::sim::{FileHandle, FileSystem, OpenOptions};
use plugpull::{Action, Recorder, SubjectError, Survivors, Workload};

use crate::entry::{
    Entry, HEADER_BYTES, SEGMENT_BYTES, SLOT_BYTES, SLOTS, header_of, name_of, offset_of, write_all,
};
use crate::mistake::Mistake;

/// Longer than a page, so that a full disk may stop it half-way.
const GROUP: usize = 3;

pub(crate) struct Log<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    pub(crate) dir: PathBuf,
    pub(crate) mistake: Mistake,
    /// By number: entries of segment n begin with n * SLOTS.
    pub(crate) segments: BTreeMap<u64, Box<dyn FileHandle>>,
    /// What recovery found.
    pub(crate) entries: Vec<Entry>,
    pub(crate) next: u64,
    pub(crate) trimmed: u64,
}

impl<'a> Log<'a> {
    /// Reads what is there, up to the first entry that is not whole, and writes it again: what is in
    /// memory may not be on the disk, and after a failed sync would never get there.
    pub(crate) fn open(
        fs: &'a dyn FileSystem,
        dir: &Path,
        mistake: Mistake,
    ) -> Result<Self, SubjectError> {
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
    pub(crate) fn find(&mut self, slots: &BTreeMap<u64, Vec<u8>>) -> Result<(), SubjectError> {
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
    pub(crate) fn write_again(&mut self, slots: &BTreeMap<u64, Vec<u8>>) -> io::Result<()> {
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

    pub(crate) fn create_segment(&mut self, segment: u64) -> io::Result<()> {
        let new = self.dir.join("new");
        let path = self.dir.join(name_of(segment));
        let takes_over = self.mistake == Mistake::TakesOverAHalfMadeSegment;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true);
        let file = self.fs.open(&new, options.truncate(!takes_over))?;
        if file.length()? != SEGMENT_BYTES as u64 {
            file.set_len(SEGMENT_BYTES as u64)?;
        }
        write_all(&*file, &header_of(segment), 0)?;
        if self.mistake != Mistake::RenamesUnsynced
            && let Err(error) = file.sync_all()
        {
            if takes_over {
                self.fs.remove_file(&new)?;
            }
            return Err(error);
        }
        self.fs.rename(&new, &path)?;
        if self.mistake != Mistake::NoDirectorySync {
            self.fs.sync_dir(&self.dir)?;
        }
        self.segments.insert(segment, file);
        Ok(())
    }

    pub(crate) fn show(&self, survivors: &mut Survivors) {
        for (position, entry) in (self.trimmed..).zip(&self.entries) {
            let position = match self.mistake {
                Mistake::ReplaysAcrossHoles => entry.number,
                _ => position,
            };
            survivors.push(position, &entry.payload);
        }
    }

    pub(crate) fn carry_out(
        mut self,
        workload: &Workload,
        recorder: &Recorder,
    ) -> Result<(), SubjectError> {
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
    pub(crate) fn append(
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
            Mistake::AcksBeforeSync
            | Mistake::AcksBeforeSyncAndTidiesUp
            | Mistake::FailsInRecoveryAndAcksBeforeSync => {
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

    pub(crate) fn write_group(&self, writes: &BTreeMap<u64, (u64, Vec<u8>)>) -> io::Result<()> {
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
    pub(crate) fn roll_back(&self, writes: &BTreeMap<u64, (u64, Vec<u8>)>) -> io::Result<()> {
        for (segment, (offset, bytes)) in writes {
            let file = &*self.segments[segment];
            write_all(file, &vec![0; bytes.len()], *offset)?;
            file.sync_data()?;
        }
        Ok(())
    }

    pub(crate) fn sync(&self, segments: std::ops::RangeInclusive<u64>) -> io::Result<()> {
        self.segments
            .range(segments)
            .try_for_each(|(_, file)| file.sync_data())
    }

    /// Removes the segments that lie below a position, one after the other: what is left is one run at
    /// any moment.
    pub(crate) fn trim(&mut self, below: u64) -> io::Result<()> {
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
