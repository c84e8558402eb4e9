//! Looking at a log without changing it: no write, no lock, no permission but to read.
//!
//! [`Reader`] goes by the rules of recovery (`scan.rs`) and does none of its repairs. It may read
//! a log while its owner writes: what it takes for the end, it looks at again before it calls the
//! log corrupt, and a frame that is still being written is a torn tail to it, never damage.

mod directory;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::entry;
use crate::error::{Error, Kind, Result};
use crate::frame::Header;
use crate::names::{Listing, segment_name};
use crate::recovery::RecoveryReport;
use crate::replay::Record;
use crate::scan::Scan;
use crate::segment::{SEGMENT_HEADER_BYTES, Segment};
use crate::shelf::Shelf;
use crate::storage::{OsStorage, Storage, StorageDir, read_exact_at};
use crate::sync::Arc;

use self::directory::ATTEMPTS_MAX;
pub(crate) use self::directory::{evidence, is_in_use, nothing_there, segment_ids};

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
    /// Recovery has no use for them; they show whether a disk still holds what was written. See [`stray`](Self::stray).
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
    /// - [`Error::is_trimmed`]: the log's owner has trimmed what was about to be read. Another reader
    ///   finds what is left.
    /// - [`Error::is_locked`]: the log's files change in another way while they are read.
    /// - An I/O error.
    pub fn next_group(&mut self) -> Result<Option<Group<'_>>> {
        let (header, payload) = match self.find_group() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return Err(self.explain(error)),
        };
        let (at, _) = self.scan.last_frame.expect("a frame was found");
        self.returned = Some(header);
        let payload = self.scan.payload(payload);
        Ok(Some(Group {
            header,
            payload,
            path: &self.scan.segments[at.segment].segment.path,
            offset: at.offset,
        }))
    }

    /// Everything that [`next_group`](Self::next_group) reads from files.
    fn find_group(&mut self) -> Result<Option<(Header, Range<usize>)>> {
        self.check_padding()?;
        loop {
            if let Some(found) = self.scan.next_frame()? {
                let (at, _) = self.scan.last_frame.expect("a frame was found");
                self.check_header_blocks(at.segment + 1)?;
                return Ok(Some(found));
            }
            match self.scan.examine() {
                Ok(()) => {
                    self.refuse_recycled()?;
                    self.check_header_blocks(self.scan.segments.len())?;
                    self.note_owner()?;
                    return Ok(None);
                }
                Err(error) if error.is_corruption() => {
                    if !self.scan.look_again()? {
                        self.refuse_recycled()?;
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
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

    /// Whether a process had the log open when this reader came, or when it reached the log's end.
    ///
    /// `None` if that cannot be known here. On Linux it can, from `/proc/locks`; but a lock that is not
    /// seen there proves nothing in a PID namespace such as a container's, nor on a file system that
    /// other machines use as well.
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

    /// An owner that came later counts as well.
    fn note_owner(&mut self) -> Result<()> {
        if self.in_use == Some(false) {
            self.in_use = is_in_use(&*self.dir)?;
        }
        Ok(())
    }

    /// What it means that a segment cannot be read which was there, and as long as it was made, when
    /// this reader came: the log has changed since.
    fn explain(&self, error: Error) -> Error {
        let kind = error.io_error().map(io::Error::kind);
        let is_cut = kind == Some(io::ErrorKind::UnexpectedEof);
        if (is_cut || kind == Some(io::ErrorKind::NotFound)) && self.is_trimmed_meanwhile() {
            self.trimmed()
        } else if is_cut {
            self.changed()
        } else {
            error
        }
    }

    /// Whether a segment has lost its name that is still to be read.
    fn is_trimmed_meanwhile(&self) -> bool {
        let ids = Listing::read(&*self.dir).map(|listing| listing.segment_ids);
        let mut unread = self.scan.segments[self.scan.end.segment..].iter();
        ids.is_ok_and(|ids| unread.any(|listed| !ids.contains(&listed.segment.id())))
    }

    /// The error for entries that the log's owner has trimmed while they were read.
    fn trimmed(&self) -> Error {
        let requested = self.scan.next_seq;
        // It may trim again while the oldest entry is looked for.
        for _ in 0..ATTEMPTS_MAX {
            let oldest = begin(&self.dir).and_then(|mut scan| scan.next_frame());
            if let Ok(Some((header, _))) = oldest
                && header.first_seq > requested
            {
                let oldest = header.first_seq;
                return Error::new(Kind::Trimmed { requested, oldest });
            }
        }
        // No trim takes the newest entries away, nor those behind the ones that are left.
        self.changed()
    }

    fn changed(&self) -> Error {
        let path = self.dir.path().to_owned();
        Error::new(Kind::ChangesMeanwhile { path })
    }

    /// What looks like damage, or like the end, in a file that has been recycled under us is
    /// neither.
    fn refuse_recycled(&self) -> Result<()> {
        // A segment in which nothing was found, or in which the log should go on.
        let broken = self.scan.end.segment;
        for (index, listed) in self.scan.segments.iter().enumerate() {
            if listed.has_frame && index < broken {
                continue;
            }
            let was = &*listed.segment;
            // Its header was overwritten before anything else in it.
            match Segment::open(was.path.clone(), was.file.clone(), was.id()) {
                Ok(now) if now.header == was.header => {}
                Err(error) if error.io_error().is_some() => return Err(error),
                _ => return Err(self.trimmed()),
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

/// Opens the segments that are listed. The log's owner may trim meanwhile: a segment that is gone, or
/// that became another one while it was opened, is looked for again.
fn begin(dir: &Arc<dyn StorageDir>) -> Result<Scan> {
    let shelf = Arc::new(Shelf::read_only(Arc::clone(dir)));
    for _ in 0..ATTEMPTS_MAX {
        let evidence = evidence(&**dir)?;
        let ids = segment_ids(&**dir)?;
        if ids.is_empty() {
            return Err(nothing_there(dir.path(), &evidence));
        }
        let mut opening = ids[0];
        let error = match Scan::begin(&ids, evidence, |id| {
            opening = id;
            open_segment(&**dir, &shelf, id)
        }) {
            Ok(scan) => return Ok(scan),
            Err(error) => error,
        };
        if Listing::read(&**dir)?.segment_ids.contains(&opening) {
            return Err(error);
        }
    }
    let path = dir.path().to_owned();
    Err(Error::new(Kind::ChangesMeanwhile { path }))
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
