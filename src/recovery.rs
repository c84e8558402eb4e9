//! What survives a crash, and what refuses to open.
//!
//! Recovery yields a prefix of the log, in order and without holes. It reads first and changes
//! nothing before it has decided; what it then does to the disk can be interrupted anywhere and
//! done again.
//!
//! At the first frame that is not valid it asks what *later headers testify* ([`crate::frame`]):
//!
//! - A later header, even of a torn frame, was written after the broken frame had become durable →
//!   acknowledged entries are damaged: `Corrupt`.
//! - None → a *torn tail*. Nothing acknowledged can be in it: a group is acknowledged only once it
//!   is durable, and then the group after it testifies. Headers behind the cut are destroyed, so
//!   that they never come back.
//!
//! The block behind the last valid frame is destroyed even if it shows nothing: a write that failed may
//! have left a frame on the disk, and a rollback that was never synced its zeros in the page cache.
//!
//! The last valid frame has no later one to vouch for it. It may be only in the page cache, and
//! after an earlier failed sync the kernel may hold it as clean, so a sync alone proves nothing: it
//! is written again, the same bytes at the same place, and synced, before anybody is shown it.
//!
//! What cannot be had: damage to the very last group of a log that was not closed looks like a torn
//! tail.

use crate::catalog::Listed;
use crate::directory::{Directory, Listing};
use crate::error::{Error, Result};
use crate::frame::{HEADER_BYTES, Header};
use crate::prepare::PrepareError;
use crate::segment::{Cursor, Found, Segment, SegmentHeader};
use crate::storage::{read_exact_at, write_all_at};
use crate::sync::Arc;

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Segments in the log.
    pub segments: usize,
    /// Valid groups found.
    pub groups: u64,
    /// Valid entries found.
    pub entries: u64,
    /// The sequence number that the next append gets; every lower one is durable or trimmed.
    pub next_seq: u64,
    /// The oldest entry that can be replayed.
    pub trim_seq: u64,
    /// The log was closed in order: its last frame is a seal.
    pub sealed: bool,
    /// The torn tail that was cut, if there was one.
    pub discarded: Option<Discarded>,
}

/// A torn tail: what a crash left of a group that was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discarded {
    /// File that held it.
    pub path: std::path::PathBuf,
    /// Where it began, in bytes.
    pub offset: u64,
    /// How many entries its header announced.
    pub entries: u64,
}

/// A log ready to be written on.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// In use, oldest first; the log goes on in the last one.
    pub(crate) segments: Vec<Listed>,
    /// Empty, behind it.
    pub(crate) ready: Vec<Arc<Segment>>,
    /// Where the next frame goes in the last segment.
    pub(crate) offset: u64,
    pub(crate) next_group: u64,
    pub(crate) report: RecoveryReport,
}

/// Recovers the log in `directory`, or begins a new one where there is none.
///
/// # Errors
/// `Corrupt` if acknowledged entries are damaged: nothing has been changed then. An I/O error if
/// anything cannot be read or made durable.
pub(crate) fn recover(
    directory: &Directory,
    block_bytes: u32,
    segment_bytes: u64,
) -> Result<Recovered> {
    let span = tracing::info_span!("recovery", path = %directory.path.display());
    let _entered = span.enter();
    let listing = directory.list()?;
    let recovered = if listing.segment_ids.is_empty() {
        directory.adopt_spares(&listing, None)?;
        begin(directory, block_bytes, segment_bytes)?
    } else {
        let found = Scan::new(directory, &listing)?;
        // Before left-over segments are recycled: under the numbers that the spare files leave.
        directory.adopt_spares(&listing, Some(found.oldest()))?;
        found.repair(directory)?
    };
    let report = &recovered.report;
    tracing::info!(
        entries = report.entries,
        groups = report.groups,
        next_seq = report.next_seq,
        sealed = report.sealed,
        torn = report.discarded.is_some(),
        "recovered"
    );
    Ok(recovered)
}

/// A new log with one empty segment.
fn begin(directory: &Directory, block_bytes: u32, segment_bytes: u64) -> Result<Recovered> {
    let header = SegmentHeader {
        block_bytes,
        segment_bytes,
        log_id: directory.random()?,
        segment_id: 0,
        salt: u64::from_le_bytes(directory.random()?),
    };
    let segment = match directory.prepare(header) {
        Ok(segment) => Arc::new(segment),
        Err(PrepareError::Unchanged(error) | PrepareError::NameUnknown(error)) => {
            return Err(error);
        }
    };
    Ok(Recovered {
        offset: segment.first_offset(),
        next_group: 0,
        report: RecoveryReport {
            segments: 1,
            groups: 0,
            entries: 0,
            next_seq: 0,
            trim_seq: 0,
            sealed: false,
            discarded: None,
        },
        segments: vec![Listed {
            segment,
            first_seq: 0,
            has_frame: false,
        }],
        ready: Vec::new(),
    })
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug)]
struct At {
    /// Index into [`Scan::segments`].
    segment: usize,
    offset: u64,
}

/// What the log's files say, before anything is changed.
#[derive(Debug)]
struct Scan {
    /// The log's segments, oldest first, without gaps in their ids.
    segments: Vec<Listed>,
    /// Segments before a gap: all their entries have been trimmed.
    leftovers: Vec<Arc<Segment>>,
    next_seq: u64,
    next_group: u64,
    trim_seq: u64,
    groups: u64,
    entries: u64,
    sealed: bool,
    /// The last valid frame and its length, which nothing vouches for.
    last_frame: Option<(At, u64)>,
    /// Behind the last valid frame: where the log goes on. The segments behind it are empty.
    end: At,
    /// Headers behind the end, in blocks to be destroyed.
    torn: Vec<(At, Header)>,
}

impl Scan {
    fn new(directory: &Directory, listing: &Listing) -> Result<Self> {
        let mut run: Vec<Arc<Segment>> = Vec::new();
        let mut leftovers: Vec<Arc<Segment>> = Vec::new();
        for &id in &listing.segment_ids {
            let segment = Arc::new(directory.open_segment(id)?);
            let one_before = run.last().or(leftovers.last());
            if one_before.is_some_and(|before| before.header.log_id != segment.header.log_id) {
                let detail = "the segment belongs to another log than the one before it";
                return Err(Error::corrupt(&segment.path, 24, detail));
            }
            if run.last().is_some_and(|last| last.id() + 1 != id) {
                leftovers.append(&mut run);
            }
            run.push(segment);
        }
        // Only the very first segment says by itself where it begins; any other learns it from its
        // first frame.
        let base_known = run[0].id() == 0;
        let first = At {
            segment: 0,
            offset: run[0].first_offset(),
        };
        let mut scan = Self {
            end: first,
            segments: run
                .into_iter()
                .map(|segment| Listed {
                    segment,
                    first_seq: 0,
                    has_frame: false,
                })
                .collect(),
            leftovers,
            next_seq: 0,
            next_group: 0,
            trim_seq: 0,
            groups: 0,
            entries: 0,
            sealed: false,
            last_frame: None,
            torn: Vec::new(),
        };
        let base = scan.walk(base_known)?;
        scan.examine_rest()?;
        if !base_known && base.is_none_or(|base| base > scan.trim_seq) {
            let missing = scan.segments[0].segment.id() - 1;
            let detail = format!(
                "segment {missing} before it is missing, and no frame says that its entries were trimmed"
            );
            return Err(Error::corrupt(&scan.segments[0].segment.path, 0, detail));
        }
        Ok(scan)
    }

    /// Follows the frames from the first segment as far as they are valid and continue each other.
    /// Returns the sequence number at which the first one begins.
    fn walk(&mut self, base_known: bool) -> Result<Option<u64>> {
        let mut base = base_known.then_some(0);
        for index in 0..self.segments.len() {
            let mut cursor = Cursor::new(Arc::clone(&self.segments[index].segment));
            let mut followed = false;
            while let Found::Frame(header, _) = cursor.peek()? {
                if base.is_none() {
                    base = Some(header.first_seq);
                    (self.next_seq, self.next_group) = (header.first_seq, header.group);
                    // Empty segments before the first frame begin where it does.
                    self.segments[..index]
                        .iter_mut()
                        .for_each(|l| l.first_seq = header.first_seq);
                }
                if !header.continues(self.next_seq, Some(self.next_group)) {
                    break;
                }
                if !followed {
                    self.segments[index].first_seq = header.first_seq;
                    self.segments[index].has_frame = true;
                    followed = true;
                }
                let at = At {
                    segment: index,
                    offset: cursor.offset,
                };
                self.last_frame = Some((at, header.frame_bytes()));
                self.next_seq = header.end_seq();
                self.next_group += 1;
                self.trim_seq = self.trim_seq.max(header.trim_seq);
                self.groups += 1;
                self.entries += u64::from(header.entry_count);
                self.sealed = header.seal;
                cursor.advance(&header);
                self.end = At {
                    segment: index,
                    offset: cursor.offset,
                };
            }
            if !followed {
                self.segments[index].first_seq = self.next_seq;
            }
        }
        Ok(base)
    }

    /// Looks at every block behind the end: later headers that testify make the log `Corrupt`, the
    /// others are torn.
    fn examine_rest(&mut self) -> Result<()> {
        let broken = self.end;
        let mut newest: Option<(At, Header)> = None;
        for index in broken.segment..self.segments.len() {
            let mut cursor = Cursor::new(Arc::clone(&self.segments[index].segment));
            if index == broken.segment {
                cursor.offset = broken.offset;
            }
            while let Some((offset, header)) = cursor.next_block()? {
                let Some(header) = header else { continue };
                let at = At {
                    segment: index,
                    offset,
                };
                if header.group > self.next_group || header.durable_seq > self.next_seq {
                    let newer = newest.is_none_or(|(_, known)| header.group > known.group);
                    newest = if newer { Some((at, header)) } else { newest };
                }
                self.torn.push((at, header));
            }
        }
        let Some((at, witness)) = newest else {
            return Ok(());
        };
        let lost = witness.durable_seq.saturating_sub(self.next_seq);
        // Behind a segment that is full to its last block, the log goes on in the next one.
        let segment = &self.segments[broken.segment].segment;
        let broken = match self.segments.get(broken.segment + 1) {
            Some(next) if broken.offset == segment.end_offset() => At {
                segment: broken.segment + 1,
                offset: next.segment.first_offset(),
            },
            _ => broken,
        };
        let detail = format!(
            "group {} is damaged: it should begin here with entry {}. A later header (group {}, byte {} \
             of {}) was written only after it had become durable, and says that every entry below {} \
             was: at least {lost} acknowledged entries cannot be read",
            self.next_group,
            self.next_seq,
            witness.group,
            at.offset,
            self.segments[at.segment].segment.path.display(),
            witness.durable_seq,
        );
        Err(Error::corrupt(
            &self.segments[broken.segment].segment.path,
            broken.offset,
            detail,
        ))
    }

    /// The header of the oldest segment under a final name.
    fn oldest(&self) -> &SegmentHeader {
        let listed = self.segments.first().map(|listed| &listed.segment);
        let oldest = self.leftovers.first().or(listed);
        &oldest.expect("a segment was listed").header
    }

    /// The blocks in which no frame may ever be found again: the torn ones, and where the log ends,
    /// or could have gone on.
    ///
    /// There, too, if nothing is to be seen: the disk may hold a frame whose write failed, and the
    /// page cache what was there before, or the zeros of a rollback that was never synced.
    fn blocks_to_cut(&self) -> Vec<At> {
        let behind = (self.end.segment + 1..self.segments.len()).map(|segment| At {
            segment,
            offset: self.segments[segment].segment.first_offset(),
        });
        let ends = [self.end].into_iter().chain(behind).filter(|at| {
            let segment = &self.segments[at.segment].segment;
            at.offset + segment.block_bytes() <= segment.end_offset()
        });
        let mut blocks: Vec<At> = self.torn.iter().map(|(at, _)| *at).chain(ends).collect();
        blocks.sort_unstable_by_key(|at| (at.segment, at.offset));
        blocks.dedup_by_key(|at| (at.segment, at.offset));
        blocks
    }

    /// Makes what was found durable and unambiguous. Each step may be interrupted and done again.
    fn repair(mut self, directory: &Directory) -> Result<Recovered> {
        // A process killed between a rename and its sync left names that may not be durable yet.
        directory.sync()?;
        if let Some((at, len)) = self.last_frame {
            let segment = &self.segments[at.segment].segment;
            rewrite(segment, at.offset, len)?;
        }
        let cut = self.blocks_to_cut();
        for at in &cut {
            let segment = &self.segments[at.segment].segment;
            let zeros = vec![0; segment.header.block_bytes as usize];
            write_all_at(&*segment.file, &zeros, at.offset)
                .map_err(|error| Error::io("cut the torn tail of", &segment.path, error))?;
        }
        let touched = self.last_frame.iter().map(|(at, _)| at).chain(&cut);
        let mut touched: Vec<usize> = touched.map(|at| at.segment).collect();
        touched.sort_unstable();
        touched.dedup();
        for index in touched {
            let segment = &self.segments[index].segment;
            segment
                .file
                .sync_data()
                .map_err(|error| Error::io("sync the recovered end of", &segment.path, error))?;
        }
        // Now that the frame with the trim position is durable, what it allows to be gone may go.
        if !self.leftovers.is_empty() {
            directory.retire(self.leftovers)?;
        }
        let discarded = self.torn.first().map(|(at, _)| Discarded {
            path: self.segments[at.segment].segment.path.clone(),
            offset: at.offset,
            entries: self
                .torn
                .iter()
                .map(|(_, header)| u64::from(header.entry_count))
                .sum(),
        });
        let ready = self.segments.split_off(self.end.segment + 1);
        Ok(Recovered {
            ready: ready.into_iter().map(|listed| listed.segment).collect(),
            offset: self.end.offset,
            next_group: self.next_group,
            report: RecoveryReport {
                segments: self.segments.len(),
                groups: self.groups,
                entries: self.entries,
                next_seq: self.next_seq,
                trim_seq: self.trim_seq,
                sealed: self.sealed,
                discarded,
            },
            segments: self.segments,
        })
    }
}

/// Writes a frame's own bytes over it, block by block.
fn rewrite(segment: &Segment, offset: u64, len: u64) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(len).expect("the frame was just read whole")];
    debug_assert!(bytes.len() >= HEADER_BYTES);
    read_exact_at(&*segment.file, &mut bytes, offset)
        .map_err(|error| Error::io("read", &segment.path, error))?;
    write_all_at(&*segment.file, &bytes, offset)
        .map_err(|error| Error::io("write the recovered end of", &segment.path, error))
}
