//! Looking at a log without changing it: no write, no lock, no permission but to read.
//!
//! [`Reader`] goes by the rules of recovery (`scan.rs`) and does none of its repairs. It may read
//! a log while its owner writes: what it takes for the end, it looks at again before it calls the
//! log corrupt, and a frame that is still being written is a torn tail to it, never damage.

use std::io;
use std::path::{Path, PathBuf};

use crate::entry;
use crate::error::{Error, Kind, Result};
use crate::frame::Header;
use crate::lock_file::{Evidence, Mark};
use crate::names::{LOCK_NAME, Listing, segment_name};
use crate::recovery::RecoveryReport;
use crate::replay::Record;
use crate::scan::Scan;
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::shelf::Shelf;
use crate::storage::{OsStorage, Storage, StorageDir, read_exact_at};
use crate::sync::Arc;

/// How often a log's files may change between the look at their names and the opening of them. Each
/// time its owner has trimmed meanwhile.
const ATTEMPTS_MAX: u32 = 100;

/// Reads a log's groups in order, and says at the end what recovery would make of it.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tmp = tempfile::tempdir()?;
/// # let dir = tmp.path().join("log");
/// # let options = groupwal::Options::default().segment_bytes(8 << 20);
/// let wal = groupwal::Wal::open(&dir, options).await?;
/// wal.append(b"an entry").await?;
///
/// let mut reader = groupwal::inspect::Reader::open(&dir)?; // the log may be in use
/// while let Some(group) = reader.next_group()? {
///     for record in group.records() {
///         println!("{}: {:?}", record.seq, record.entry);
///     }
/// }
/// assert_eq!(reader.report().next_seq, 1);
/// # Ok(()) }
/// ```
pub struct Reader {
    dir: Arc<dyn StorageDir>,
    scan: Scan,
    in_use: Option<bool>,
    /// Whether padding is looked at, too.
    strict: bool,
    stray: Vec<Stray>,
    /// The segments before it have had their header blocks checked.
    checked_segments: usize,
    /// The frame that was returned last, whose padding is still to be checked.
    returned: Option<Header>,
}

/// A write group as it stands on the disk, valid in every byte that its checksums cover.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Its header.
    pub header: Header,
    /// The file.
    pub path: &'a Path,
    /// Where its frame begins in the file, in bytes.
    pub offset: u64,
    payload: &'a [u8],
}

impl<'a> Group<'a> {
    /// Its entries, in order; none if it is a lost group.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let entries = if self.header.lost {
            0
        } else {
            u64::from(self.header.entry_count)
        };
        let first = self.header.first_seq;
        let mut rest = self.payload;
        (first..first + entries).map(move |seq| {
            let (entry, behind) = entry::decode(rest).expect("decoded when the frame was checked");
            rest = behind;
            Record { seq, entry }
        })
    }
}

/// Bytes that the log wrote as zeros and that are none any more. No entry is hurt by them, but
/// something has changed the disk's content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stray {
    /// The file.
    pub path: PathBuf,
    /// The first of them, in bytes from the file's beginning.
    pub offset: u64,
}

impl Reader {
    /// Looks into the log in `dir`.
    ///
    /// # Errors
    /// - An I/O error, if a file cannot be read, or if there is no log.
    /// - [`Error::is_corruption`] if a segment's header is damaged, or a segment is another log's.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(&(Arc::new(OsStorage) as Arc<dyn Storage>), dir)
    }

    /// [`open`](Self::open) on a storage of your own.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(storage: &Arc<dyn Storage>, dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let dir = storage
            .open_dir(dir)
            .map_err(|error| Error::io("open", dir, error))?;
        let in_use = is_in_use(&*dir)?;
        let scan = begin(&dir)?;
        Ok(Self {
            dir,
            scan,
            in_use,
            strict: false,
            stray: Vec::new(),
            checked_segments: 0,
            returned: None,
        })
    }

    /// Also looks at the bytes that belong to no entry: those that pad frames and segment headers.
    /// Recovery has no use for them; whoever wants to know whether a disk still holds what was
    /// written has. See [`stray`](Self::stray).
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The next group, or `None` at the end of the log.
    ///
    /// # Errors
    /// - [`Error::is_corruption`]: acknowledged entries are damaged, and the message says where. What
    ///   was returned before is whole.
    /// - [`Error::is_trimmed`]: the log's owner has trimmed what was about to be read.
    /// - An I/O error.
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>> {
        self.check_padding()?;
        let (header, payload) = loop {
            match self.scan.next_frame() {
                Ok(Some(found)) => break found,
                Ok(None) => {}
                Err(error) => return Err(self.explain(error)),
            }
            match self.scan.examine() {
                Ok(()) => {
                    self.refuse_recycled()?;
                    self.check_header_blocks(self.scan.segments.len())?;
                    return Ok(None);
                }
                Err(error) if error.is_corruption() => {
                    if !self.scan.look_again()? {
                        self.refuse_recycled()?;
                        return Err(error);
                    }
                }
                Err(error) => return Err(self.explain(error)),
            }
        };
        let (at, _) = self.scan.last_frame.expect("a frame was found");
        self.check_header_blocks(at.segment + 1)?;
        self.returned = Some(header);
        let payload = self.scan.payload(payload);
        Ok(Some(Group {
            header,
            payload,
            path: &self.scan.segments[at.segment].segment.path,
            offset: at.offset,
        }))
    }

    /// What was read so far; once [`next_group`](Self::next_group) has returned `None`, what recovery
    /// would find.
    pub fn report(&self) -> RecoveryReport {
        self.scan.report()
    }

    /// Every entry below it is vouched for: a later header says that it was durable.
    pub fn durable_seq(&self) -> u64 {
        if self.scan.sealed {
            self.scan.next_seq
        } else {
            self.scan.durable_seq
        }
    }

    /// Whether a process had the log open when this reader came; `None` if that cannot be known
    /// here. (On Linux it can, for the processes that `/proc` shows.)
    pub fn is_in_use(&self) -> Option<bool> {
        self.in_use
    }

    /// Bytes of all the log's segments.
    pub fn bytes(&self) -> u64 {
        let segments = self.scan.segments.iter();
        segments.map(|listed| listed.segment.end_offset()).sum()
    }

    /// What a [`strict`](Self::strict) reader has found so far.
    pub fn stray(&self) -> &[Stray] {
        &self.stray
    }

    fn note_stray(&mut self, segment: usize, offset: u64) {
        let path = self.scan.segments[segment].segment.path.clone();
        self.stray.push(Stray { path, offset });
    }

    fn check_padding(&mut self) -> Result<()> {
        let Some(header) = self.returned.take().filter(|_| self.strict) else {
            return Ok(());
        };
        let (at, _) = self.scan.last_frame.expect("a frame was returned");
        let padding = self.scan.padding(&header)?;
        if let Some(first) = padding.iter().position(|byte| *byte != 0) {
            self.note_stray(at.segment, at.offset + header.frame_bytes() + first as u64);
        }
        Ok(())
    }

    /// Checks what follows the header in the first blocks of the segments below `end`.
    fn check_header_blocks(&mut self, end: usize) -> Result<()> {
        if !self.strict {
            return Ok(());
        }
        for index in self.checked_segments..end {
            let segment = &self.scan.segments[index].segment;
            // A forged header may speak of a segment without a block.
            if segment.end_offset() < segment.block_bytes() {
                continue;
            }
            let mut block = vec![0; segment.header.block_bytes as usize];
            read_exact_at(&*segment.file, &mut block, 0)
                .map_err(|error| Error::io("read", &segment.path, error))?;
            let padding = &block[SEGMENT_HEADER_BYTES..];
            if let Some(first) = padding.iter().position(|byte| *byte != 0) {
                self.note_stray(index, (SEGMENT_HEADER_BYTES + first) as u64);
            }
        }
        self.checked_segments = self.checked_segments.max(end);
        Ok(())
    }

    /// What it means that a segment cannot be read: if its name is gone, or its file has been cut, the
    /// log's owner has trimmed it.
    fn explain(&self, error: Error) -> Error {
        let kind = error.io_error().map(io::Error::kind);
        let is_gone = kind == Some(io::ErrorKind::NotFound);
        if is_gone || kind == Some(io::ErrorKind::UnexpectedEof) && self.is_trimmed_meanwhile() {
            return self.trimmed();
        }
        error
    }

    /// Whether a segment has lost its name since the reader came.
    fn is_trimmed_meanwhile(&self) -> bool {
        let ids = Listing::read(&*self.dir).map(|listing| listing.segment_ids);
        let mut segments = self.scan.segments.iter();
        ids.is_ok_and(|ids| segments.any(|listed| !ids.contains(&listed.segment.id())))
    }

    fn trimmed(&self) -> Error {
        Error::new(Kind::Trimmed {
            requested: self.scan.next_seq,
            oldest: self.scan.next_seq + 1,
        })
    }

    /// What looks like damage, or like the end, in a file that has been recycled under us is
    /// neither.
    fn refuse_recycled(&self) -> Result<()> {
        if self.in_use == Some(false) {
            return Ok(());
        }
        // A segment in which nothing was found, or in which the log should go on.
        let broken = self.scan.end.segment;
        let mut segments = self.scan.segments.iter().enumerate();
        let recycled = segments.any(|(index, listed)| {
            if listed.has_frame && index < broken {
                return false;
            }
            let was = &*listed.segment;
            // Its header was overwritten before anything else in it.
            let now = Segment::open(was.path.clone(), was.file.clone(), was.id());
            !now.is_ok_and(|now| now.header == was.header)
        });
        if !recycled {
            return Ok(());
        }
        Err(self.trimmed())
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// Whether the log's owner holds its lock.
pub(crate) fn is_in_use(dir: &dyn StorageDir) -> Result<Option<bool>> {
    match dir.open_read_only(LOCK_NAME) {
        Ok(file) => Ok(file.is_locked()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(false)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(Error::io("open", &dir.path().join(LOCK_NAME), error)),
    }
}

/// What LOCK says of the log, as far as it can be read.
pub(crate) fn evidence(dir: &dyn StorageDir) -> Result<Evidence> {
    let path = dir.path().join(LOCK_NAME);
    match dir.open_read_only(LOCK_NAME) {
        Ok(file) => Evidence::read(&*file, &path),
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied]
                .contains(&error.kind()) =>
        {
            Ok(Evidence::default())
        }
        Err(error) => Err(Error::io("open", &path, error)),
    }
}

/// Opens the segments that are listed. Its owner may trim meanwhile: a segment that is gone, or
/// that became another one under our hands, is looked for again.
fn begin(dir: &Arc<dyn StorageDir>) -> Result<Scan> {
    let shelf = Arc::new(Shelf::read_only(Arc::clone(dir)));
    let mut attempts = 0;
    loop {
        let evidence = evidence(&**dir)?;
        let ids = Listing::read(&**dir)?.segment_ids;
        if ids.is_empty() {
            return Err(nothing_there(&**dir, &evidence));
        }
        let mut opening = ids[0];
        let error = match Scan::begin(&ids, evidence, |id| {
            opening = id;
            open_segment(&**dir, &shelf, id)
        }) {
            Ok(scan) => return Ok(scan),
            Err(error) => error,
        };
        attempts += 1;
        let gone = !Listing::read(&**dir)?.segment_ids.contains(&opening);
        if !gone || attempts == ATTEMPTS_MAX {
            return Err(error);
        }
    }
}

/// Why a directory without a segment cannot be read.
fn nothing_there(dir: &dyn StorageDir, evidence: &Evidence) -> Error {
    let path = dir.path();
    if evidence.mark == Mark::Absent {
        let detail = "there is no log in it: no file is named like a segment";
        let none = io::Error::new(io::ErrorKind::NotFound, detail);
        return Error::io("read", path, none);
    }
    let detail = "LOCK says that there was a log, and there is no segment".to_owned();
    let path = path.to_owned();
    Error::new(Kind::Missing { path, detail })
}

fn open_segment(dir: &dyn StorageDir, shelf: &Arc<Shelf>, id: u64) -> Result<Segment> {
    let name = segment_name(id);
    let path = dir.path().join(&name);
    let file = dir
        .open_read_only(&name)
        .map_err(|error| Error::io("open", &path, error))?;
    let mut segment = Segment::open(path, file.into(), id)?;
    segment.rest(shelf);
    Ok(segment)
}
