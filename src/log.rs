//! The segments of a log in use: where the next frame goes, rotation, rollback and trim.

use std::time::Duration;

use crate::catalog::{Catalog, Listed};
use crate::directory::{Directory, PrepareError};
use crate::error::{Error, Result};
use crate::frame::{FrameBuffer, Preamble};
use crate::lock_file::Closed;
use crate::metrics::{Metrics, Stopwatch};
use crate::options::Options;
use crate::prepare::{Piece, Preparation};
use crate::segment::{Segment, SegmentHeader};
use crate::storage::{RawFile, write_all_at, write_all_durable_at};
use crate::sync::Arc;

/// The next segment is made ready once a quarter of this one is full: early, because filling it takes
/// longer while groups are being written, and not at once, for logs that stay small.
const READY_WHEN_FILLED: u64 = 4;

/// Why a group is not durable.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Nothing of the group is in the log, and the log is as it was.
    NotWritten(Error),
    /// As `NotWritten`, but the trim position that came with the group is durable.
    OnlyTrim(Error),
    /// Nothing of the group is in the log, and the log must not be written again: its directory is not its
    /// own any more.
    Stopped(Error),
    /// Nobody knows what the disk holds: the log must not be written again before it has been
    /// recovered.
    Unknown(Error),
}

impl WriteError {
    /// Nothing has been written, for this reason.
    fn refused(error: Error) -> Self {
        if error.is_displaced() {
            Self::Stopped(error)
        } else {
            Self::NotWritten(error)
        }
    }
}

/// Where a frame goes, and what it says.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
    trim_seq: u64,
    seal: bool,
}

impl Place {
    /// The file as it can be handed to the kernel, if it can: this segment's blocks fit it.
    pub(crate) fn raw(&self) -> Option<RawFile<'_>> {
        self.segment.raw()
    }
}

/// How far a write came that failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A plain write failed; nothing was synced.
    Write(std::io::Error),
    /// A sync failed, or a write that syncs by itself.
    Sync(std::io::Error),
}

/// The writing end of a log. Used by one flush at a time: [`begin`](Self::begin), the I/O, then
/// [`complete`](Self::complete) or [`failed`](Self::failed).
pub(crate) struct Log {
    /// Also for its lock.
    directory: Arc<Directory>,
    catalog: Arc<Catalog>,
    preparation: Arc<Preparation>,
    active: Arc<Segment>,
    /// Where the next frame goes in the active segment.
    offset: u64,
    next_group: u64,
    /// The newest frame's trim position, and whether it is a seal.
    trim_seq: u64,
    is_sealed: bool,
    /// The segment after this one has been asked for.
    has_asked: bool,
    /// Sizes of new segments.
    block_bytes: u32,
    segment_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Log {
    /// A log that goes on in `active`, the catalog's newest segment, and then in those that are ready.
    pub(crate) fn new(
        directory: Arc<Directory>,
        catalog: Arc<Catalog>,
        (active, ready): (Arc<Segment>, Vec<Arc<Segment>>),
        (offset, next_group): (u64, u64),
        (trim_seq, is_sealed): (u64, bool),
        options: &Options,
        metrics: Arc<Metrics>,
    ) -> Self {
        let preparation = Preparation::new(Arc::clone(directory.files()), active.id() + 1, ready);
        Self {
            directory,
            catalog,
            preparation: Arc::new(preparation),
            active,
            offset,
            next_group,
            trim_seq,
            is_sealed,
            has_asked: false,
            block_bytes: options.block_bytes,
            segment_bytes: options.segment_bytes,
            metrics,
        }
    }

    /// Writes a group as one frame and syncs it. When it returns `Ok`, the frame survives a crash.
    ///
    pub(crate) fn append(
        &mut self,
        buffer: &mut FrameBuffer,
        preamble: Preamble,
    ) -> Result<(), WriteError> {
        if !self.says_nothing_new(buffer, &preamble) {
            match self.begin(buffer, preamble) {
                Ok(place) => self.write(&place, buffer)?,
                Err(WriteError::NotWritten(error)) if self.may_use_reserve(&preamble) => {
                    self.append_trim(preamble)?;
                    if buffer.entry_count() > 0 {
                        return Err(WriteError::OnlyTrim(error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if preamble.seal {
            self.record_closing(&preamble)?;
        }
        Ok(())
    }

    /// Whether the log says already what this frame would say: it has no entries, and no news.
    fn says_nothing_new(&self, buffer: &FrameBuffer, preamble: &Preamble) -> bool {
        let has_news = buffer.entry_count() > 0 || preamble.trim_seq > self.trim_seq;
        !has_news && (!preamble.seal || self.is_sealed)
    }

    /// Whether this is a trim that takes segments away, and there is a block left for it. It may go there
    /// when no other segment can be had, mostly because the disk is full: it makes room for one.
    fn may_use_reserve(&self, preamble: &Preamble) -> bool {
        let is_free = self.offset + self.active.block_bytes() <= self.active.end_offset();
        preamble.trim_seq > self.trim_seq && is_free && self.catalog.would_free(preamble.trim_seq)
    }

    /// Writes a trim position alone, into the reserved end of the segment.
    fn append_trim(&mut self, preamble: Preamble) -> Result<(), WriteError> {
        self.check(&self.active)?;
        tracing::info!(
            trim_seq = preamble.trim_seq,
            "no other segment can be had: the trim goes into this one's reserve"
        );
        let mut buffer = FrameBuffer::default();
        let place = self.place(&mut buffer, preamble);
        self.write(&place, &buffer)
    }

    /// Says in LOCK how far the log has gone: the segment with the seal might get lost.
    fn record_closing(&self, preamble: &Preamble) -> Result<(), WriteError> {
        let closed = Closed {
            segment_id: self.active.id(),
            // Without the seal itself: nothing is lost with it alone.
            group: self.next_group.saturating_sub(1),
            next_seq: preamble.first_seq,
        };
        // The seal is durable in any case, and closing can be repeated. Only a failed sync is final.
        let log_id = self.active.header.log_id;
        let written = self.directory.write_closed(log_id, closed);
        if written.map_err(WriteError::NotWritten)? {
            self.directory.sync_lock().map_err(WriteError::Unknown)?;
        }
        Ok(())
    }

    /// Writes a finished frame at its place and syncs it.
    pub(crate) fn write(&mut self, place: &Place, buffer: &FrameBuffer) -> Result<(), WriteError> {
        let (file, bytes) = (&*place.segment.file, buffer.bytes());
        let watch = Stopwatch::start();
        let written = match place.raw().filter(RawFile::can_sync_writes) {
            Some(raw) => write_all_durable_at(raw, bytes, place.offset).map_err(Failure::Sync),
            None => write_all_at(file, bytes, place.offset)
                .map_err(Failure::Write)
                .and_then(|()| file.sync_data().map_err(Failure::Sync)),
        };
        match written {
            Ok(()) => {
                self.complete(place, buffer.entry_count(), watch.elapsed());
                Ok(())
            }
            Err(failure) => Err(self.failed(place, failure)),
        }
    }

    /// Whether this frame is written by [`begin`](Self::begin) without I/O, one write that syncs, and
    /// nothing else.
    pub(crate) fn is_plain(&self, buffer: &FrameBuffer, preamble: &Preamble) -> bool {
        if preamble.seal || self.says_nothing_new(buffer, preamble) {
            return false;
        }
        self.active.has_room(buffer, self.offset, false)
            || self
                .preparation
                .ready()
                .is_some_and(|next| next.has_room(buffer, next.first_offset(), false))
    }

    /// Finds a place for the buffer's frame and finishes it: [`FrameBuffer::bytes`] are what is to
    /// be written there, with one write that syncs, or with a write and then a sync.
    pub(crate) fn begin(
        &mut self,
        buffer: &mut FrameBuffer,
        preamble: Preamble,
    ) -> Result<Place, WriteError> {
        if preamble.seal || preamble.trim_seq > self.trim_seq {
            self.check(&self.active)?;
        }
        // A segment that was ready may have been made with another size in mind.
        while !self.active.has_room(buffer, self.offset, preamble.seal) {
            self.rotate(preamble.first_seq)?;
        }
        Ok(self.place(buffer, preamble))
    }

    /// Finishes the buffer's frame for the next place in the active segment.
    fn place(&self, buffer: &mut FrameBuffer, preamble: Preamble) -> Place {
        let place = Place {
            segment: Arc::clone(&self.active),
            offset: self.offset,
            len: self.active.padded_len(buffer),
            trim_seq: preamble.trim_seq,
            seal: preamble.seal,
        };
        let block_bytes = self.active.header.block_bytes as usize;
        let seed = place.segment.seed(place.offset);
        buffer.finish(seed, self.next_group, preamble, block_bytes);
        place
    }

    /// Whether the log still has its directory, and this segment its name.
    fn check(&self, segment: &Segment) -> Result<(), WriteError> {
        self.directory.check(segment).map_err(WriteError::refused)
    }

    /// The frame at this place is durable.
    pub(crate) fn complete(&mut self, place: &Place, entries: u32, took: Duration) {
        self.metrics.record_group(entries, place.len, took);
        if place.offset == place.segment.first_offset() {
            self.catalog.note_frame();
        }
        self.offset = place.offset + place.len;
        self.next_group += 1;
        (self.trim_seq, self.is_sealed) = (place.trim_seq, place.seal);
    }

    /// The frame at this place could not be written, or not be made durable. May do I/O.
    pub(crate) fn failed(&self, place: &Place, failure: Failure) -> WriteError {
        match failure {
            Failure::Write(error) => {
                let error = Error::io("write", &place.segment.path, error);
                self.roll_back(place, error)
            }
            // Never retried: after a failed sync the kernel may hold the pages as clean, and the
            // next sync would succeed without having written them.
            Failure::Sync(error) => {
                WriteError::Unknown(Error::io("sync", &place.segment.path, error))
            }
        }
    }

    /// The first piece of making the next segment ready, once it is time.
    pub(crate) fn piece(&mut self) -> Option<Piece> {
        let filled = self.offset - self.active.first_offset();
        if self.has_asked || filled < self.active.room_bytes() / READY_WHEN_FILLED {
            return None;
        }
        self.has_asked = true;
        self.preparation.piece(self.next_plan())
    }

    /// The next segment's header, but for the salt.
    fn next_plan(&self) -> SegmentHeader {
        SegmentHeader {
            block_bytes: self.block_bytes,
            segment_bytes: self.segment_bytes,
            log_id: self.active.header.log_id,
            segment_id: self.active.id() + 1,
            salt: 0,
        }
    }

    /// Makes a new, empty segment the active one. It is durable before the first group goes into
    /// it.
    fn rotate(&mut self, first_seq: u64) -> Result<(), WriteError> {
        let plan = self.next_plan();
        let _span =
            tracing::info_span!("rotate", segment_id = plan.segment_id, first_seq).entered();
        self.check(&self.active)?;
        let segment = self.preparation.take(plan).map_err(|error| match error {
            PrepareError::Unchanged(error) => {
                if error.is_disk_full() {
                    // What the next trim frees makes the next segment, before others take the space.
                    self.directory.need_spare();
                }
                WriteError::refused(error)
            }
            PrepareError::NameUnknown(error) => WriteError::Unknown(error),
        })?;
        debug_assert_eq!(segment.id(), plan.segment_id);
        self.check(&segment)?;
        self.active = segment;
        self.offset = self.active.first_offset();
        self.has_asked = false;
        self.catalog.push(Listed {
            segment: Arc::clone(&self.active),
            first_seq,
            has_frame: false,
        });
        self.catalog.rest(self.directory.shelf());
        tracing::debug!("rotated");
        Ok(())
    }

    /// After a failed write: destroys the frame's header and makes that durable, so that what stays
    /// of the frame is nothing to anybody. The log then goes on at the same place.
    fn roll_back(&self, place: &Place, cause: Error) -> WriteError {
        tracing::warn!(error = %cause, offset = place.offset, "rolling back a failed write");
        let file = &*place.segment.file;
        let zeros = vec![0; self.active.header.block_bytes as usize];
        match write_all_at(file, &zeros, place.offset).and_then(|()| file.sync_data()) {
            Ok(()) => WriteError::NotWritten(cause),
            Err(error) => WriteError::Unknown(Error::io(
                "roll back a failed write to",
                &place.segment.path,
                error,
            )),
        }
    }
}
