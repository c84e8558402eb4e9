//! The segments of a log in use: where the next frame goes, rotation, rollback and trim.

use crate::catalog::{Catalog, Listed};
use crate::directory::{Directory, PrepareError};
use crate::error::{Error, Result};
use crate::frame::{FrameBuffer, Header};
use crate::metrics::{Metrics, Stopwatch};
use crate::options::Options;
use crate::segment::{Segment, SegmentHeader};
use crate::storage::write_all_at;
use crate::sync::Arc;

/// Why a group is not durable.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Nothing of the group is in the log, and the log is as it was.
    NotWritten(Error),
    /// Nobody knows what the disk holds: the log must not be written again before it has been
    /// recovered.
    Unknown(Error),
}

/// Where a frame goes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The writing end of a log. Used by one flush at a time.
pub(crate) struct Log {
    directory: Arc<Directory>,
    catalog: Arc<Catalog>,
    active: Arc<Segment>,
    /// Where the next frame goes in the active segment.
    offset: u64,
    next_group: u64,
    /// Sizes of new segments.
    block_bytes: u32,
    segment_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Log {
    /// A log that goes on in `active`, the catalog's newest segment.
    pub(crate) fn new(
        directory: Arc<Directory>,
        catalog: Arc<Catalog>,
        active: Arc<Segment>,
        recovered: (u64, u64),
        options: &Options,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (offset, next_group) = recovered;
        Self {
            directory,
            catalog,
            active,
            offset,
            next_group,
            block_bytes: options.block_bytes,
            segment_bytes: options.segment_bytes,
            metrics,
        }
    }

    /// Writes a group as one frame and syncs it. When it returns `Ok`, the frame survives a crash.
    ///
    /// `header` carries the group's sequence numbers; the log fills in the rest.
    pub(crate) fn append(
        &mut self,
        buffer: &mut FrameBuffer,
        header: Header,
    ) -> Result<(), WriteError> {
        let place = self.place(buffer, header.first_seq)?;
        let header = Header {
            group: self.next_group,
            ..header
        };
        let block_bytes = self.active.header.block_bytes as usize;
        let bytes = buffer.finish(place.segment.seed(place.offset), header, block_bytes);
        let file = &*place.segment.file;
        if let Err(error) = write_all_at(file, bytes, place.offset) {
            let error = Error::io("write", &place.segment.path, error);
            return Err(self.roll_back(&place, error));
        }
        let watch = Stopwatch::start();
        file.sync_data().map_err(|error| {
            // Never retried: after a failed sync the kernel may hold the pages as clean, and the
            // next sync would succeed without having written them.
            WriteError::Unknown(Error::io("sync", &place.segment.path, error))
        })?;
        self.metrics
            .record_group(buffer.entry_count(), place.len, watch.elapsed());
        if place.offset == place.segment.first_offset() {
            self.catalog.note_frame();
        }
        self.offset = place.offset + place.len;
        self.next_group += 1;
        Ok(())
    }

    /// Finds room for the buffer's frame, in a new segment if the active one is full.
    fn place(&mut self, buffer: &FrameBuffer, first_seq: u64) -> Result<Place, WriteError> {
        let len = |segment: &Segment| buffer.padded_len(segment.header.block_bytes as usize) as u64;
        if self.offset + len(&self.active) > self.active.end_offset() {
            self.rotate(first_seq)?;
        }
        let segment = Arc::clone(&self.active);
        Ok(Place {
            len: len(&segment),
            offset: self.offset,
            segment,
        })
    }

    /// Makes a new, empty segment the active one. It is durable before the first group goes into
    /// it.
    fn rotate(&mut self, first_seq: u64) -> Result<(), WriteError> {
        let segment_id = self.active.id() + 1;
        let _span = tracing::info_span!("rotate", segment_id, first_seq).entered();
        let salt = self.directory.random().map_err(WriteError::NotWritten)?;
        let header = SegmentHeader {
            block_bytes: self.block_bytes,
            segment_bytes: self.segment_bytes,
            log_id: self.active.header.log_id,
            segment_id,
            salt: u64::from_le_bytes(salt),
        };
        let segment = self
            .directory
            .prepare(header)
            .map_err(|error| match error {
                PrepareError::Unchanged(error) => WriteError::NotWritten(error),
                PrepareError::NameUnknown(error) => WriteError::Unknown(error),
            })?;
        self.active = Arc::new(segment);
        self.offset = self.active.first_offset();
        self.catalog.push(Listed {
            segment: Arc::clone(&self.active),
            first_seq,
            has_frame: false,
        });
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
