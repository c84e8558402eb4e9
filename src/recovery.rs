//! What survives a crash, and what refuses to open.
//!
//! Recovery yields a prefix of the log, in order and without holes. It reads first and changes
//! nothing before [`crate::scan`] has decided; what it then does to the disk can be interrupted
//! anywhere and done again.
//!
//! A torn tail is cut: headers behind the cut are destroyed, so that they never come back.
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
use crate::directory::{Directory, PrepareError, wake};
use crate::error::{Error, Kind, Result};
use crate::frame::HEADER_BYTES;
use crate::lock_file::{Evidence, Mark};
use crate::names::Listing;
use crate::options::{Create, Options};
use crate::prepare::Unfinished;
use crate::scan::{At, Scan};
use crate::segment::{Segment, SegmentHeader};
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
    /// Entries whose place in the log says that they are lost: it was salvaged once.
    pub lost: u64,
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
/// `Corrupt` if acknowledged entries are damaged or missing: nothing has been changed then. An I/O error
/// if anything cannot be read or made durable.
pub(crate) fn recover(directory: &Directory, options: &Options) -> Result<Recovered> {
    let span = tracing::info_span!("recovery", path = %directory.path.display());
    let _entered = span.enter();
    let listing = directory.list()?;
    let evidence = directory.evidence()?;
    let recovered = if listing.segment_ids.is_empty() {
        let was_here = traces(directory, &listing, &evidence)?;
        allow_new(directory, was_here, options.create)?;
        if evidence.mark != Mark::Absent {
            // Else the new log's first segment would be taken for another log's.
            directory.write_evidence(&Evidence::default())?;
        }
        directory.adopt_spares(&listing, None)?;
        begin(directory, options)?
    } else {
        let found = Scan::of(directory, &listing, evidence)?;
        // Before left-over segments are recycled: under the numbers that the spare files leave.
        directory.adopt_spares(&listing, Some(found.oldest()))?;
        found.repair(directory)?
    };
    mark(directory, &evidence, &recovered)?;
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

/// What shows that a log was here whose segments are all gone; `None` if nothing does, as after a crash
/// in the very first opening.
fn traces(directory: &Directory, listing: &Listing, evidence: &Evidence) -> Result<Option<String>> {
    if let Some(closed) = evidence.closed {
        return Ok(Some(format!(
            "LOCK says that a log was closed here with segment {} and {} entries, and there is no segment",
            closed.segment_id, closed.next_seq
        )));
    }
    match evidence.mark {
        Mark::Log(_) => Ok(Some(
            "LOCK says that there was a log, and there is no segment".to_owned(),
        )),
        Mark::Damaged => Ok(Some(
            "LOCK holds bytes that no log writes there, and there is no segment".to_owned(),
        )),
        Mark::Absent => Ok(directory.spare_of_a_log(listing)?.map(|path| {
            format!(
                "{} was made for a log that had a segment, and there is none",
                path.display()
            )
        })),
    }
}

/// Whether a new log may begin where `was_here` shows that there was one.
fn allow_new(directory: &Directory, was_here: Option<String>, create: Create) -> Result<()> {
    let path = directory.path.clone();
    match (create, was_here) {
        (Create::AfterLoss, _) | (Create::IfMissing, None) => Ok(()),
        (_, Some(detail)) => Err(Error::new(Kind::Missing { path, detail })),
        (Create::Never, None) => Err(Error::new(Kind::NoLog { path })),
    }
}

/// Says in LOCK, durably, which log is in the directory, if it does not say so yet. Its first segment has its
/// name for good.
fn mark(directory: &Directory, known: &Evidence, recovered: &Recovered) -> Result<()> {
    let newest = recovered.segments.last().expect("a log has a segment");
    let mark = Mark::Log(newest.segment.header.log_id);
    let is_known = known.mark == mark;
    if is_known && known.is_whole {
        return Ok(());
    }
    let evidence = Evidence {
        mark,
        closed: known.closed.filter(|_| is_known),
        is_whole: true,
    };
    match directory.write_evidence(&evidence) {
        // A log of an earlier version has no room reserved for it, and must open all the same: it may be
        // the one that frees the disk.
        Err(error) if error.is_disk_full() && recovered.report.next_seq > 0 => {
            tracing::warn!(%error, "no room to record in LOCK that the log exists");
            Ok(())
        }
        written => written,
    }
}

/// A new log with one empty segment.
fn begin(directory: &Directory, options: &Options) -> Result<Recovered> {
    let header = SegmentHeader {
        block_bytes: options.block_bytes,
        segment_bytes: options.segment_bytes,
        log_id: directory.random()?,
        segment_id: 0,
        salt: u64::from_le_bytes(directory.random()?),
    };
    let prepared =
        Unfinished::begin(directory, header).and_then(|unfinished| unfinished.complete(directory));
    let segment = match prepared {
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
            lost: 0,
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

impl Scan {
    fn of(directory: &Directory, listing: &Listing, evidence: Evidence) -> Result<Self> {
        let open = |id| directory.find_segment(id);
        let mut scan = Self::begin(&listing.segment_ids, evidence, open)?;
        while scan.next_frame()?.is_some() {}
        scan.examine()?;
        Ok(scan)
    }

    /// What has been found so far.
    pub(crate) fn report(&self) -> RecoveryReport {
        RecoveryReport {
            segments: self.segments.len(),
            groups: self.groups,
            entries: self.entries,
            lost: self.lost,
            next_seq: self.next_seq,
            trim_seq: self.trim_seq,
            sealed: self.sealed,
            discarded: self.torn.first().map(|(at, _)| Discarded {
                path: self.segments[at.segment].segment.path.clone(),
                offset: at.offset,
                entries: self
                    .torn
                    .iter()
                    .map(|(_, header)| u64::from(header.entry_count))
                    .sum(),
            }),
        }
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
        let mut report = self.report();
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
        // Behind the end there are only empty ones, ready to be written.
        let ready = self.segments.split_off(self.end.segment + 1);
        let ready = ready.iter().map(|listed| wake(&listed.segment));
        let ready = ready.collect::<Result<_>>()?;
        let active = self.segments.last_mut().expect("the log ends in a segment");
        active.segment = wake(&active.segment)?;
        report.segments = self.segments.len();
        Ok(Recovered {
            ready,
            offset: self.end.offset,
            next_group: self.next_group,
            report,
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
