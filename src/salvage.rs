//! Brings back what is left of a damaged log: every group whose checksums hold, also behind the
//! damage, in a new log.
//!
//! The numbers are kept. Where entries are lost the new log says so in their place
//! ([`Builder::push_lost`]): it has no gaps, invents nothing, and a replay that comes to the hole gets an
//! error instead of passing over it.
//!
//! The log is read twice: once to survey it, once to copy. The first reading tells where the new log
//! begins and what will be missing before anything is made.

use std::io;
use std::path::{Path, PathBuf};

use crate::builder::Builder;
use crate::cursor::Found;
use crate::error::{Error, Kind, Result};
use crate::frame::Header;
use crate::inspect;
use crate::lock_file::Mark;
use crate::options::Options;
use crate::storage::{OsStorage, Storage, StorageDir};
use crate::sync::Arc;

use reading::Reading;
use source::{Place, Source};

mod header;
mod reading;
mod source;
mod tolerant;

/// Called from time to time with the bytes read so far; `false` gives up.
pub type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

/// A damaged log, surveyed.
pub struct Salvage {
    storage: Arc<dyn Storage>,
    dir: Arc<dyn StorageDir>,
    report: SalvageReport,
    in_use: Option<bool>,
    /// Of all that the survey has found.
    digest: u64,
    /// Number of the first group that is brought back.
    first_group: u64,
    block_bytes: u32,
    segment_bytes: u64,
}

/// What can be brought back and what is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Undamaged groups.
    pub groups: u64,
    /// Entries in them.
    pub entries: u64,
    /// The number at which the new log begins, and the one that its next append gets.
    pub first_seq: u64,
    /// See `first_seq`. No number that the old log had acknowledged is given again.
    pub next_seq: u64,
    /// What is missing, in order.
    pub losses: Vec<Loss>,
    /// Entries that an earlier salvage had lost already.
    pub lost_before: u64,
    /// Entries of a torn tail, which nothing says were ever durable. They are left behind, as recovery
    /// would cut them.
    pub torn_entries: u64,
    /// Groups that lie wholly below the trim position, before a gap: what a trim had not removed yet.
    pub trimmed_groups: u64,
    /// Undamaged groups that do not fit where they stand: none, in a log that this library wrote.
    pub misplaced_groups: u64,
    /// Files of which nothing could be used, and why.
    pub unusable_files: Vec<(PathBuf, String)>,
    /// Files with a damaged header whose frames could be used all the same.
    pub mended_headers: Vec<PathBuf>,
    /// Bytes that the disk did not give back.
    pub unreadable_bytes: u64,
}

impl SalvageReport {
    /// Entries that are lost, those of earlier salvages not counted.
    pub fn lost_entries(&self) -> u64 {
        self.losses.iter().map(|loss| loss.end - loss.first).sum()
    }
}

/// A run of lost entries, and the bytes where they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// The first lost entry.
    pub first: u64,
    /// Behind the last one. Equal to `first` if only groups without entries are lost, such as a trim
    /// position.
    pub end: u64,
    /// Where the damage begins: behind the group before it.
    pub from: (PathBuf, u64),
    /// Where the next undamaged group begins, or the log ends.
    pub to: (PathBuf, u64),
}

impl Salvage {
    /// Surveys the log in `dir`. Nothing in it is changed.
    ///
    /// # Errors
    /// - [`Error::is_locked`] if a process has the log open, where that can be known, or if its files
    ///   change while they are read.
    /// - An I/O error if there is no log, or a file cannot be opened. Bytes that cannot be read count
    ///   as damaged.
    /// - [`Error::is_given_up`] if `go_on` said so.
    pub fn survey(dir: impl AsRef<Path>, go_on: GoOn<'_>) -> Result<Self> {
        Self::survey_with(Arc::new(OsStorage), dir, go_on)
    }

    /// [`survey`](Self::survey) on a storage of your own.
    ///
    /// # Errors
    /// As for [`survey`](Self::survey).
    pub fn survey_with(
        storage: Arc<dyn Storage>,
        dir: impl AsRef<Path>,
        go_on: GoOn<'_>,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        let dir = storage
            .open_dir(dir)
            .map_err(|error| Error::io("open", dir, error))?;
        let in_use = inspect::is_in_use(&*dir)?;
        if in_use == Some(true) {
            let path = dir.path().to_owned();
            return Err(Error::new(Kind::Locked { path }));
        }
        // Before the segments: what it vouches for is in them then.
        let evidence = inspect::evidence(&*dir)?;
        let mut source = Source::open(&dir)?;
        let closed = evidence
            .closed
            .filter(|_| evidence.mark == Mark::Log(source.log_id()));
        let mut survey = Survey {
            durable_seq: closed.map_or(0, |closed| closed.next_seq),
            ..Survey::default()
        };
        let mut reading = Reading::default();
        while let Some(found) = source.next_frame()? {
            if !go_on(source.bytes_read()) {
                return Err(Error::new(Kind::GivenUp));
            }
            reading.note(&found, &source);
            match found {
                Found::Frame(header, _) => survey.note_group(&header, &source),
                Found::Torn(header) => survey.note_torn(&header),
                Found::Nothing => {}
            }
        }
        let first_group = survey.drop_trimmed();
        let (block_bytes, segment_bytes) = source.sizes();
        Ok(Self {
            report: survey.report(&source),
            in_use,
            digest: reading.digest(),
            first_group,
            storage,
            dir,
            block_bytes,
            segment_bytes,
        })
    }

    /// What was found.
    pub fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// Whether a process has the log open: `Some(false)` or, where that cannot be known, `None`
    /// ([`Reader::is_in_use`](inspect::Reader::is_in_use)). In that case, too,
    /// [`write`](Self::write) finds out if the log changes.
    pub fn is_in_use(&self) -> Option<bool> {
        self.in_use
    }

    /// Copies every undamaged group into a new log, which is sealed. Returns its length in bytes.
    ///
    /// # Errors
    /// - As for [`Builder`]; nothing is called `dst` then.
    /// - [`Error::is_corruption`] if there is nothing to bring back.
    /// - [`Error::is_locked`] if the log is no longer what was surveyed: a process is writing to it.
    /// - [`Error::is_given_up`] if `go_on` said so.
    pub fn write(&self, dst: impl AsRef<Path>, go_on: GoOn<'_>) -> Result<u64> {
        if self.report.groups == 0 {
            let nothing = "there is no undamaged group in the log: nothing can be brought back";
            return Err(Error::corrupt(self.dir.path(), 0, nothing));
        }
        let options = Options::default()
            .block_bytes(self.block_bytes)
            .segment_bytes(self.segment_bytes);
        let (storage, first_seq) = (self.storage.clone(), self.report.first_seq);
        let mut builder = Builder::create_with(storage, dst, first_seq, &options)?;
        let mut source = Source::open(&self.dir).map_err(|error| self.explain(error))?;
        let mut chain = Chain::default();
        let mut reading = Reading::default();
        while let Some(found) = source.next_frame()? {
            if !go_on(source.bytes_read()) {
                return Err(Error::new(Kind::GivenUp));
            }
            reading.note(&found, &source);
            let Found::Frame(header, payload) = found else {
                continue;
            };
            if header.group < self.first_group || !chain.takes(&header) {
                continue;
            }
            chain.take(&header);
            self.push_lost_up_to(header.first_seq, &mut builder)?;
            builder.push_group(&header, source.payload(payload))?;
        }
        if reading.digest() != self.digest {
            return Err(self.changed());
        }
        self.push_lost_up_to(self.report.next_seq, &mut builder)?;
        builder.finish()
    }

    fn push_lost_up_to(&self, seq: u64, builder: &mut Builder) -> Result<()> {
        let missing = seq.checked_sub(builder.next_seq());
        let missing = missing.filter(|_| seq <= self.report.next_seq);
        builder.push_lost(missing.ok_or_else(|| self.changed())?)
    }

    /// What it means that a log cannot be opened that was surveyed.
    fn explain(&self, error: Error) -> Error {
        let is_gone = error
            .io_error()
            .is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
        if is_gone || error.is_corruption() {
            return self.changed();
        }
        error
    }

    fn changed(&self) -> Error {
        let path = self.dir.path().to_owned();
        Error::new(Kind::ChangesMeanwhile { path })
    }
}

impl std::fmt::Debug for Salvage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salvage")
            .field("dir", &self.dir.path())
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// The undamaged groups of a log in the order of their files: each must come after the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Chain {
    /// Number of the group that may come next, at least, and the entry that it may begin with.
    next: Option<(u64, u64)>,
}

impl Chain {
    fn takes(&self, header: &Header) -> bool {
        self.next
            .is_none_or(|(group, seq)| header.group >= group && header.first_seq >= seq)
    }

    fn take(&mut self, header: &Header) {
        self.next = Some((header.group + 1, header.end_seq()));
    }
}

/// What the first reading finds.
#[derive(Debug, Default)]
struct Survey {
    chain: Chain,
    runs: Vec<Run>,
    /// From all valid headers, those of torn frames included.
    trim_seq: u64,
    durable_seq: u64,
    torn_end: u64,
    trimmed_groups: u64,
    misplaced_groups: u64,
}

/// Undamaged groups without anything missing between them.
#[derive(Debug)]
struct Run {
    first_group: u64,
    first_seq: u64,
    end_seq: u64,
    groups: u64,
    entries: u64,
    lost: u64,
    start: Place,
    end: Place,
}

impl Survey {
    /// Takes up the group that the source has just found.
    fn note_group(&mut self, header: &Header, source: &Source) {
        if !self.chain.takes(header) {
            self.misplaced_groups += 1;
            return;
        }
        let follows = self.chain.next == Some((header.group, header.first_seq));
        self.chain.take(header);
        self.testify(header);
        let (start, end) = source.place(header);
        if !follows {
            self.runs.push(Run {
                first_group: header.group,
                first_seq: header.first_seq,
                end_seq: header.first_seq,
                groups: 0,
                entries: 0,
                lost: 0,
                start,
                end,
            });
        }
        let run = self.runs.last_mut().expect("just pushed if there was none");
        run.end_seq = header.end_seq();
        run.end = end;
        run.groups += 1;
        let count = if header.lost {
            &mut run.lost
        } else {
            &mut run.entries
        };
        *count += u64::from(header.entry_count);
    }

    fn note_torn(&mut self, header: &Header) {
        self.testify(header);
        self.torn_end = self.torn_end.max(header.end_seq());
    }

    fn testify(&mut self, header: &Header) {
        self.trim_seq = self.trim_seq.max(header.trim_seq);
        self.durable_seq = self.durable_seq.max(header.durable_seq);
    }

    /// Forgets the runs before a gap that lies below the trim position: there, segments are missing
    /// with good reason. Returns the number of the first group of what is left.
    fn drop_trimmed(&mut self) -> u64 {
        let given_up = |run: &&Run| run.first_seq <= self.trim_seq;
        let dropped = self.runs.iter().skip(1).take_while(given_up).count();
        let dropped = self.runs.drain(..dropped);
        self.trimmed_groups = dropped.map(|run| run.groups).sum();
        self.runs.first().map_or(0, |run| run.first_group)
    }

    fn report(&self, source: &Source) -> SalvageReport {
        let first = self.runs.first().map_or(0, |run| run.first_seq);
        let end = self.runs.last().map_or(0, |run| run.end_seq);
        let first_seq = first.min(self.trim_seq);
        let next_seq = end.max(self.durable_seq);
        let mut losses = Vec::new();
        let mut lose = |first: u64, end: u64, from: Place, to: Place| {
            losses.push(Loss {
                // What lies below the trim position had been given up.
                first: first.max(self.trim_seq).min(end),
                end,
                from: source.position(from),
                to: source.position(to),
            });
        };
        if let Some(run) = self.runs.first().filter(|run| run.first_seq > first_seq) {
            lose(first_seq, run.first_seq, Source::START, run.start);
        }
        for pair in self.runs.windows(2) {
            lose(
                pair[0].end_seq,
                pair[1].first_seq,
                pair[0].end,
                pair[1].start,
            );
        }
        if next_seq > end {
            let from = self.runs.last().map_or(Source::START, |run| run.end);
            lose(end, next_seq, from, source.end());
        }
        SalvageReport {
            bytes: source.bytes(),
            groups: self.runs.iter().map(|run| run.groups).sum(),
            entries: self.runs.iter().map(|run| run.entries).sum(),
            first_seq,
            next_seq,
            losses,
            lost_before: self.runs.iter().map(|run| run.lost).sum(),
            torn_entries: self.torn_end.saturating_sub(next_seq),
            trimmed_groups: self.trimmed_groups,
            misplaced_groups: self.misplaced_groups,
            unusable_files: source.unusable_files().to_vec(),
            mended_headers: source.mended_headers(),
            unreadable_bytes: source.unreadable_bytes(),
        }
    }
}
