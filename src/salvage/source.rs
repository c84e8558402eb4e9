//! Every valid frame of a log's files, whatever stands between them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::header;
use super::tolerant::Tolerant;
use crate::cursor::{Cursor, Found};
use crate::error::{Error, Kind, Result};
use crate::frame::Header;
use crate::inspect;
use crate::names::segment_name;
use crate::options::Options;
use crate::segment::{Segment, SegmentHeader};
use crate::shelf::{File, Shelf};
use crate::storage::{StorageDir, StorageFile};
use crate::sync::Arc;

/// A segment and a byte in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    segment: usize,
    offset: u64,
}

/// Reads the frames of all segments, oldest segment first.
pub(super) struct Source {
    dir: PathBuf,
    log_id: [u8; 16],
    segments: Vec<Usable>,
    unusable: Vec<(PathBuf, String)>,
    cursor: Cursor,
    index: usize,
    at_hand: Step,
}

struct Usable {
    segment: Arc<Segment>,
    file: Arc<Tolerant>,
    /// Its own header is damaged; the one it is read with was worked out from its frames.
    mended: bool,
}

/// How far to move before the next look.
enum Step {
    None,
    Block,
    Frame(Header),
}

impl Source {
    /// # Errors
    /// - [`Error::is_corruption`] if no segment can be used.
    /// - [`Error::is_locked`] if a file is not there any more that was listed a moment ago, or gets
    ///   shorter.
    /// - An I/O error if there is no log, or a file cannot be opened.
    pub(super) fn open(dir: &Arc<dyn StorageDir>) -> Result<Self> {
        let ids = inspect::segment_ids(&**dir)?;
        if ids.is_empty() {
            let evidence = inspect::evidence(&**dir)?;
            return Err(inspect::nothing_there(dir.path(), &evidence));
        }
        Self::with(dir, &ids).map_err(|error| explain(dir.path(), error))
    }

    fn with(dir: &Arc<dyn StorageDir>, ids: &[u64]) -> Result<Self> {
        let shelf = Arc::new(Shelf::read_only(Arc::clone(dir)));
        let mut segments = Vec::new();
        let mut damaged = Vec::new();
        for &id in ids {
            let name = segment_name(id);
            let path = dir.path().join(&name);
            let file = dir
                .open_read_only(&name)
                .map_err(|error| Error::io("open", &path, error))?;
            // Its first bytes may be unreadable now and then; the two readings are compared instead.
            let file = Arc::new(Tolerant::new(shelf.put(name, None, file)));
            match Segment::open(path.clone(), File::Open(file.clone()), id) {
                Ok(_) => {}
                Err(error) if error.is_corruption() => {}
                Err(error) => return Err(error),
            }
            match SegmentHeader::read(&*file) {
                Some(header) => segments.push(usable(path, file, header, false)?),
                None => damaged.push((id, path, file)),
            }
        }
        let log_id = log_id(&segments);
        let mut unusable = Vec::new();
        segments.retain(|usable| {
            let ours = Some(usable.segment.header.log_id) == log_id;
            if !ours {
                let why = "it belongs to another log".to_owned();
                unusable.push((usable.segment.path.clone(), why));
            }
            ours
        });
        for (id, path, file) in damaged {
            match header::from_frames(&path, &*file, log_id.unwrap_or_default(), id)? {
                Some(header) => segments.push(usable(path, file, header, true)?),
                None => unusable.push((
                    path,
                    "its header is damaged, and no frame in it is whole".into(),
                )),
            }
        }
        segments.sort_by_key(|usable| usable.segment.id());
        let Some(first) = segments.first() else {
            let why = unusable.first().map_or("", |(_, why)| why);
            let detail = format!("no segment can be used: of the first, {why}");
            return Err(Error::corrupt(dir.path(), 0, detail));
        };
        Ok(Self {
            dir: dir.path().to_owned(),
            log_id: first.segment.header.log_id,
            cursor: Cursor::new(Arc::clone(&first.segment)),
            segments,
            unusable,
            index: 0,
            at_hand: Step::None,
        })
    }

    /// The next valid header, with or without its payload, in the order of the files; `None` at the
    /// end.
    ///
    /// # Errors
    /// - [`Error::is_locked`] if a file is not there any more, or gets shorter.
    /// - An I/O error if a file cannot be opened.
    pub(super) fn next_frame(&mut self) -> Result<Option<Found>> {
        self.find().map_err(|error| explain(&self.dir, error))
    }

    fn find(&mut self) -> Result<Option<Found>> {
        match std::mem::replace(&mut self.at_hand, Step::None) {
            Step::None => {}
            Step::Block => self.step_block(),
            Step::Frame(header) => self.cursor.advance(&header),
        }
        loop {
            if self.cursor.offset >= self.cursor.segment.end_offset() {
                let Some(next) = self.segments.get(self.index + 1) else {
                    return Ok(None);
                };
                self.cursor = Cursor::new(Arc::clone(&next.segment));
                self.index += 1;
                continue;
            }
            let found = self.cursor.peek()?;
            match &found {
                Found::Frame(header, _) => self.at_hand = Step::Frame(*header),
                Found::Torn(_) => self.at_hand = Step::Block,
                Found::Nothing => {
                    self.step_block();
                    continue;
                }
            }
            return Ok(Some(found));
        }
    }

    fn step_block(&mut self) {
        self.cursor.offset += self.cursor.segment.block_bytes();
    }

    /// The payload of the frame that was found last.
    pub(super) fn payload(&self, range: Range<usize>) -> &[u8] {
        self.cursor.bytes(range)
    }

    /// Where the frame that was found last begins, and where its last block ends.
    pub(super) fn place(&self, header: &Header) -> (Place, Place) {
        let (segment, offset) = (self.index, self.cursor.offset);
        let padded = header
            .frame_bytes()
            .next_multiple_of(self.cursor.segment.block_bytes());
        let end = offset + padded;
        (
            Place { segment, offset },
            Place {
                segment,
                offset: end,
            },
        )
    }

    /// The segment and the byte in it at which the frame begins that was found last.
    pub(super) fn position_of_frame(&self) -> (&SegmentHeader, u64) {
        (&self.cursor.segment.header, self.cursor.offset)
    }

    /// The log that is read.
    pub(super) fn log_id(&self) -> [u8; 16] {
        self.log_id
    }

    /// The beginning of the first segment.
    pub(super) const START: Place = Place {
        segment: 0,
        offset: 0,
    };

    /// The end of the last segment.
    pub(super) fn end(&self) -> Place {
        let segment = self.segments.len() - 1;
        let offset = self.segments[segment].segment.end_offset();
        Place { segment, offset }
    }

    pub(super) fn position(&self, place: Place) -> (PathBuf, u64) {
        let segment = &self.segments[place.segment].segment;
        (segment.path.clone(), place.offset)
    }

    pub(super) fn bytes(&self) -> u64 {
        lengths(&self.segments)
    }

    pub(super) fn bytes_read(&self) -> u64 {
        lengths(&self.segments[..self.index]) + self.cursor.offset
    }

    pub(super) fn unusable_files(&self) -> &[(PathBuf, String)] {
        &self.unusable
    }

    pub(super) fn mended_headers(&self) -> Vec<PathBuf> {
        let mended = self.segments.iter().filter(|usable| usable.mended);
        mended.map(|usable| usable.segment.path.clone()).collect()
    }

    pub(super) fn unreadable_bytes(&self) -> u64 {
        let files = self.segments.iter().map(|usable| &usable.file);
        files.map(|file| file.unreadable_bytes()).sum()
    }

    /// Block and segment size for the new log: those of the newest segment that says, but segments no
    /// smaller than usual.
    pub(super) fn sizes(&self) -> (u32, u64) {
        let defaults = Options::default();
        let says = self.segments.iter().rev().find(|usable| !usable.mended);
        says.map_or((defaults.block_bytes, defaults.segment_bytes), |usable| {
            let header = &usable.segment.header;
            let segment_bytes = header.segment_bytes.max(defaults.segment_bytes);
            (header.block_bytes, segment_bytes)
        })
    }
}

/// What it means that a file cannot be read that was there a moment ago, as long as it was then: the log
/// is in use, whether its lock is seen from here or not.
fn explain(dir: &Path, error: Error) -> Error {
    match error.io_error().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            let path = dir.to_owned();
            Error::new(Kind::ChangesMeanwhile { path })
        }
        _ => error,
    }
}

fn lengths(segments: &[Usable]) -> u64 {
    let lengths = segments.iter().map(|usable| usable.segment.end_offset());
    lengths.sum()
}

/// A segment as far as the file goes.
fn usable(
    path: PathBuf,
    file: Arc<Tolerant>,
    header: SegmentHeader,
    mended: bool,
) -> Result<Usable> {
    let len = file
        .length()
        .map_err(|error| Error::io("read the length of", &path, error))?;
    // The last frame may be whole where only what pads it was cut off.
    let header = SegmentHeader {
        segment_bytes: header.segment_bytes.min(len),
        ..header
    };
    let segment = Arc::new(Segment {
        header,
        path,
        file: File::Open(file.clone()),
    });
    Ok(Usable {
        segment,
        file,
        mended,
    })
}

/// The log that most of the segments belong to; of several, the newest segment's.
fn log_id(segments: &[Usable]) -> Option<[u8; 16]> {
    let id = |usable: &Usable| usable.segment.header.log_id;
    let count = |of: [u8; 16]| segments.iter().filter(|usable| id(usable) == of).count();
    segments.iter().map(id).max_by_key(|of| count(*of))
}
