//! Makes a whole log at once, from entries that are somewhere else already.
//!
//! Nothing has the log's name before all of it is durable: segments are written one after another
//! into a directory under a spare name, synced, and the directory renamed. So no group needs a sync
//! of its own, and no segment is filled before it is written: each is as long as what is in it.

mod partial;

use std::io;
use std::path::{Path, PathBuf};

use self::partial::{occupy, partial_name, refuse_existing, remove_partial};
use crate::entry::{Encode, checked_len};
use crate::error::{Error, Kind, Result};
use crate::frame::{FrameBuffer, HEADER_BYTES, Header, POSITION_MAX, Preamble};
use crate::lock_file::{Closed, Evidence, Mark};
use crate::names::{LOCK_NAME, segment_name};
use crate::options::Options;
use crate::segment::{RESERVED_BLOCKS, Segment, SegmentHeader};
use crate::seq_no::SeqNo;
use crate::storage::{OsStorage, Storage, StorageDir, StorageFile, write_all_at};
use crate::sync::Arc;

/// A group is written when it has grown to this many bytes of entries. More would make the disk no
/// faster, and a frame is what is lost as a whole when one byte of it is.
const GROUP_BYTES: usize = 1 << 20;
/// Most entries that one frame can say are lost.
const LOST_MAX: u64 = u32::MAX as u64;
/// Most frames for one hole.
const LOST_FRAMES_MAX: u64 = 1024;

/// Makes a new log out of entries that come from elsewhere: all of it, or nothing.
///
/// The log may begin at any sequence number, as if everything below had been trimmed. It is sealed,
/// so damage anywhere in it will be found, and [`Wal::open`](crate::Wal::open) goes on behind it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use groupwal::{Builder, Options};
///
/// # let tmp = tempfile::tempdir()?;
/// let mut builder = Builder::create(tmp.path().join("log"), 1_000, &Options::default())?;
/// assert_eq!(builder.push(b"from another log")?, 1_000);
/// builder.finish()?;
/// # Ok(()) }
/// ```
///
/// Until [`finish`](Self::finish) has renamed it, the log is in `NAME.partial` beside its final name. It is
/// removed when the builder is dropped; what a crash leaves of it is removed by the next builder
/// for the same name.
pub struct Builder {
    storage: Arc<dyn Storage>,
    /// The log's final path, and its name in the directory that it is to stand in.
    path: PathBuf,
    name: String,
    parent: Arc<dyn StorageDir>,
    /// The directory that it is made in.
    partial: Arc<dyn StorageDir>,
    /// Held for its lock; `None` once the log has its name.
    lock: Option<Arc<dyn StorageFile>>,
    entry_bytes_max: usize,
    /// What a group may grow to before it is written.
    group_bytes: usize,
    segment_bytes: u64,
    block_bytes: u32,
    log_id: [u8; 16],
    next_segment: u64,
    next_group: u64,
    next_seq: u64,
    trim_seq: u64,
    segment: Option<Growing>,
    buffer: FrameBuffer,
    bytes: u64,
}

/// A segment that is being written. Its header is written last, when its length is known.
struct Growing {
    segment: Segment,
    offset: u64,
}

impl Builder {
    /// Begins a log that is to be called `path`, and whose first entry is to have the number `first_seq`.
    ///
    /// Of the options, `block_bytes`, `segment_bytes` (how long a segment may get) and `entry_bytes_max` count.
    ///
    /// # Errors
    /// - [`Error::is_invalid_options`], also if `first_seq` is a number that no log gets to.
    /// - [`Error::is_locked`] if another builder works on a log of the same name.
    /// - An I/O error; if `path` exists, if its parent does not, if there is something else under
    ///   the spare name.
    pub fn create(path: impl AsRef<Path>, first_seq: SeqNo, options: &Options) -> Result<Self> {
        Self::create_with(Arc::new(OsStorage), path, first_seq, options)
    }

    /// [`create`](Self::create) on a storage of your own.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_with(
        storage: Arc<dyn Storage>,
        path: impl AsRef<Path>,
        first_seq: SeqNo,
        options: &Options,
    ) -> Result<Self> {
        options.validate()?;
        if first_seq >= POSITION_MAX {
            let message = format!("no log gets to the sequence number {first_seq}");
            return Err(Error::new(Kind::InvalidOptions(message)));
        }
        let at = |operation, path: &Path, error| Error::io(operation, path, error);
        let path = std::path::absolute(path.as_ref())
            .map_err(|error| at("resolve", path.as_ref(), error))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (path.parent(), name.map(str::to_owned)) else {
            let invalid = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path does not end in a name, or not in UTF-8",
            );
            return Err(at("make a log called", &path, invalid));
        };
        let parent = storage
            .open_dir(parent)
            .map_err(|error| at("open", parent, error))?;
        refuse_existing(&*parent, &name)?;
        let (partial, lock) = occupy(&*parent, &partial_name(&name))?;
        let room = options.segment_bytes - u64::from(options.block_bytes) - HEADER_BYTES as u64;
        // From here on, dropping it cleans up.
        let mut builder = Self {
            path,
            name,
            parent,
            partial,
            lock: Some(lock),
            entry_bytes_max: options.entry_bytes_max,
            group_bytes: usize::try_from(room).map_or(GROUP_BYTES, |room| room.min(GROUP_BYTES)),
            segment_bytes: options.segment_bytes,
            block_bytes: options.block_bytes,
            log_id: [0; 16],
            // Only a log that begins at 0 has a segment 0: it says by itself where it begins.
            next_segment: u64::from(first_seq > 0),
            next_group: 0,
            next_seq: first_seq,
            trim_seq: first_seq,
            segment: None,
            buffer: FrameBuffer::default(),
            bytes: 0,
            storage,
        };
        let mut log_id = [0; 16];
        builder
            .storage
            .fill_random(&mut log_id)
            .map_err(|error| Error::io("draw entropy for", &builder.path, error))?;
        builder.log_id = log_id;
        if first_seq > 0 {
            // A frame without entries says that everything below has been trimmed.
            builder.write_group(false)?;
        }
        Ok(builder)
    }

    /// Adds an entry and returns its sequence number.
    ///
    /// # Errors
    /// - [`Error::is_invalid_entry`]: the entry is too large or contradicts itself. Others may follow.
    /// - An I/O error, after which only dropping the builder makes sense.
    pub fn push<E: Encode + ?Sized>(&mut self, entry: &E) -> Result<SeqNo> {
        let len = checked_len(entry, self.entry_bytes_max)?;
        let together = self.buffer.payload_len() + len;
        if self.buffer.entry_count() > 0 && together > self.group_bytes {
            self.end_group()?;
        }
        let seq = self.next_seq + u64::from(self.buffer.entry_count());
        let frame_bytes_max = HEADER_BYTES + self.group_bytes.max(len);
        self.buffer.push(&[entry], len, frame_bytes_max);
        Ok(seq)
    }

    /// Ends the group at hand: the entry that is added next begins another. By itself a builder
    /// makes groups of about a mebibyte.
    ///
    /// # Errors
    /// An I/O error, after which only dropping the builder makes sense.
    pub fn end_group(&mut self) -> Result<()> {
        if self.buffer.entry_count() > 0 {
            self.write_group(false)?;
        }
        Ok(())
    }

    /// Gives the next `entries` numbers to entries that are lost: the log goes on behind them. A
    /// replay that comes there gets an error ([`Error::lost_entries`]), so that nobody passes over them
    /// unawares.
    ///
    /// # Errors
    /// - [`Error::is_invalid_entry`] if there are more than about 4.4 trillion.
    /// - An I/O error, after which only dropping the builder makes sense.
    pub fn push_lost(&mut self, entries: u64) -> Result<()> {
        if entries > LOST_MAX * LOST_FRAMES_MAX {
            let message = format!("{entries} entries are more than one log can have lost");
            return Err(Error::new(Kind::InvalidEntry(message)));
        }
        self.end_group()?;
        let mut left = entries;
        while left > 0 {
            let count = u32::try_from(left.min(LOST_MAX)).expect("at most u32::MAX");
            self.buffer.set_lost(count);
            self.write_group(false)?;
            left -= u64::from(count);
        }
        Ok(())
    }

    /// Adds a whole group as it stood in another log's frame.
    pub(crate) fn push_group(&mut self, header: &Header, payload: &[u8]) -> Result<()> {
        self.end_group()?;
        debug_assert_eq!(header.first_seq, self.next_seq);
        self.trim_seq = self.trim_seq.max(header.trim_seq);
        if header.lost {
            self.buffer.set_lost(header.entry_count);
        } else {
            let frame_bytes_max = HEADER_BYTES + payload.len();
            self.buffer
                .push_payload(payload, header.entry_count, frame_bytes_max);
        }
        self.write_group(false)
    }

    /// The number that the next entry gets.
    pub fn next_seq(&self) -> SeqNo {
        self.next_seq + u64::from(self.buffer.entry_count())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Seals the log, makes it durable and gives it its name. Returns its length in bytes.
    ///
    /// # Errors
    /// An I/O error. Nothing has the log's name then, unless the very last step failed, the sync of
    /// the directory that it stands in; the message names that directory.
    pub fn finish(mut self) -> Result<u64> {
        self.end_group()?;
        self.write_group(true)?;
        self.reserve()?;
        let newest = self.next_segment - 1;
        self.end_segment()?;
        self.record(newest)?;
        let at = |operation, path: &Path, error| Error::io(operation, path, error);
        let (name, partial) = (&self.name, partial_name(&self.name));
        self.partial
            .sync()
            .map_err(|error| at("sync", self.partial.path(), error))?;
        refuse_existing(&*self.parent, name)?;
        self.parent
            .rename(&partial, name)
            .map_err(|error| at("rename", self.partial.path(), error))?;
        // The log has its name: it is not ours to remove any more.
        if let Some(lock) = self.lock.take() {
            lock.unlock();
        }
        self.parent
            .sync()
            .map_err(|error| at("sync", self.parent.path(), error))?;
        Ok(self.bytes)
    }

    /// Adds the empty blocks that every segment of a log has at its end.
    fn reserve(&mut self) -> Result<()> {
        let reserved = self.reserved_bytes();
        let growing = self.segment.as_mut().expect("the seal is in it");
        // A segment may be too short for it.
        let len = reserved.min(self.segment_bytes.saturating_sub(growing.offset));
        let zeros = vec![0; usize::try_from(len).expect("two blocks")];
        write_all_at(&*growing.segment.file, &zeros, growing.offset)
            .map_err(|error| Error::io("write", &growing.segment.path, error))?;
        growing.offset += len;
        self.bytes += len;
        Ok(())
    }

    fn reserved_bytes(&self) -> u64 {
        u64::from(RESERVED_BLOCKS) * u64::from(self.block_bytes)
    }

    /// Says in LOCK which log this is and how far it goes.
    fn record(&self, newest: u64) -> Result<()> {
        let path = self.partial.path().join(LOCK_NAME);
        let lock = self.lock.as_ref().expect("held until the log has its name");
        let evidence = Evidence {
            mark: Mark::Log(self.log_id),
            closed: Some(Closed {
                segment_id: newest,
                // Without the seal.
                group: self.next_group - 1,
                next_seq: self.next_seq,
            }),
            is_whole: true,
        };
        evidence.write(&**lock, &path)
    }

    /// Writes the buffer as one frame.
    fn write_group(&mut self, seal: bool) -> Result<()> {
        let len = self.buffer.padded_len(self.block_bytes as usize) as u64;
        // Behind the seal there is the reserve that every segment has.
        let reserved = if seal { self.reserved_bytes() } else { 0 };
        let room = self.segment.as_ref();
        let room =
            room.is_some_and(|growing| growing.offset + len + reserved <= self.segment_bytes);
        if !room {
            self.end_segment()?;
            self.segment = Some(self.begin_segment()?);
        }
        let growing = self.segment.as_mut().expect("just begun");
        // Nothing reads this frame before all of the log is durable.
        let preamble = Preamble {
            first_seq: self.next_seq,
            trim_seq: self.trim_seq.min(self.next_seq),
            seal,
        };
        let seed = growing.segment.seed(growing.offset);
        let entries = self.buffer.entry_count();
        let block_bytes = self.block_bytes as usize;
        self.buffer
            .finish(seed, self.next_group, preamble, block_bytes);
        let bytes = self.buffer.bytes();
        write_all_at(&*growing.segment.file, bytes, growing.offset)
            .map_err(|error| Error::io("write", &growing.segment.path, error))?;
        self.buffer.clear();
        growing.offset += len;
        self.bytes += len;
        self.next_seq += u64::from(entries);
        self.next_group += 1;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<Growing> {
        let name = segment_name(self.next_segment);
        let path = self.partial.path().join(&name);
        let mut salt = [0; 8];
        self.storage
            .fill_random(&mut salt)
            .map_err(|error| Error::io("draw entropy for", &path, error))?;
        let file = self
            .partial
            .create(&name)
            .map_err(|error| Error::io("create", &path, error))?;
        let header = SegmentHeader {
            block_bytes: self.block_bytes,
            segment_bytes: self.segment_bytes,
            log_id: self.log_id,
            segment_id: self.next_segment,
            salt: u64::from_le_bytes(salt),
        };
        self.next_segment += 1;
        Ok(Growing {
            segment: Segment {
                header,
                path,
                file: file.into(),
            },
            offset: u64::from(self.block_bytes),
        })
    }

    /// Makes the segment at hand durable, as long as it has got.
    fn end_segment(&mut self) -> Result<()> {
        let Some(growing) = self.segment.take() else {
            return Ok(());
        };
        let Segment { header, path, file } = growing.segment;
        let header = SegmentHeader {
            segment_bytes: growing.offset,
            ..header
        };
        let block = header.encode();
        self.bytes += block.len() as u64;
        write_all_at(&*file, &block, 0).map_err(|error| Error::io("write", &path, error))?;
        file.sync_all()
            .map_err(|error| Error::io("sync", &path, error))
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        self.segment = None;
        let removed = remove_partial(&*self.parent, &*self.partial, &partial_name(&self.name));
        lock.unlock();
        if let Err(error) = removed {
            tracing::warn!(%error, "cannot remove an unfinished log");
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("path", &self.path)
            .field("next_seq", &self.next_seq())
            .finish_non_exhaustive()
    }
}
