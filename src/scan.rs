//! What a log's files say, decided before anything is changed. Recovery repairs what it finds here,
//! and [`crate::inspect`] shows it to readers that change nothing: both go by the same rules.
//!
//! At the first frame that is not valid it asks what *later headers testify* ([`crate::frame`]):
//!
//! - A later header, even of a torn frame, was written after the broken frame had become durable →
//!   acknowledged entries are damaged: `Corrupt`.
//! - None → a *torn tail*. Nothing acknowledged can be in it: a group is acknowledged only once it
//!   is durable, and then the group after it testifies.

use std::ops::Range;

use crate::catalog::Listed;
use crate::cursor::{Cursor, Found};
use crate::error::{Error, Result};
use crate::frame::Header;
use crate::lock_file::{Evidence, Mark};
use crate::names::{LOCK_NAME, segment_name};
use crate::segment::Segment;
use crate::sync::Arc;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// Index into [`Scan::segments`].
    pub(crate) segment: usize,
    pub(crate) offset: u64,
}

/// A log followed from its first frame to where it ends or breaks.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The log's segments, oldest first, without gaps in their ids.
    pub(crate) segments: Vec<Listed>,
    /// Segments before a gap: all their entries have been trimmed.
    pub(crate) leftovers: Vec<Arc<Segment>>,
    pub(crate) next_seq: u64,
    pub(crate) next_group: u64,
    pub(crate) trim_seq: u64,
    /// The newest header says that every entry below it was durable.
    pub(crate) durable_seq: u64,
    pub(crate) groups: u64,
    pub(crate) entries: u64,
    /// Entries of lost groups.
    pub(crate) lost: u64,
    pub(crate) sealed: bool,
    /// The last valid frame and its length, which nothing vouches for.
    pub(crate) last_frame: Option<(At, u64)>,
    /// Behind the last valid frame: where the log goes on. The segments behind it are empty, if nothing
    /// is broken.
    pub(crate) end: At,
    /// Headers behind the end, in blocks to be destroyed.
    pub(crate) torn: Vec<(At, Header)>,
    /// What LOCK says beside the segments.
    evidence: Evidence,
    /// Number of the first entry, once it is known. Only the very first segment says by itself
    /// where it begins; any other learns it from its first frame.
    base: Option<u64>,
    cursor: Cursor,
    /// The segment that the cursor reads.
    index: usize,
    /// The frame at the cursor, which the caller is looking at.
    at_hand: Option<Header>,
}

impl Scan {
    /// Opens the segments with these ids, lowest first, with `open`. `evidence` is what LOCK says.
    ///
    /// # Errors
    /// `Corrupt` if they are not one log's, or as `open` says.
    ///
    /// # Panics
    /// If there is no id.
    pub(crate) fn begin(
        segment_ids: &[u64],
        evidence: Evidence,
        mut open: impl FnMut(u64) -> Result<Segment>,
    ) -> Result<Self> {
        let mut run: Vec<Arc<Segment>> = Vec::new();
        let mut leftovers: Vec<Arc<Segment>> = Vec::new();
        for &id in segment_ids {
            let segment = Arc::new(open(id)?);
            let one_before = run.last().or(leftovers.last());
            if one_before.is_some_and(|before| before.header.log_id != segment.header.log_id) {
                let detail = "the segment belongs to another log than the one before it";
                return Err(Error::corrupt(&segment.path, 24, detail));
            }
            if let Mark::Log(log_id) = evidence.mark
                && log_id != segment.header.log_id
            {
                let detail = "the file names another log than the segments: files of two logs are mixed. If the \
                              segments are the ones to keep, remove LOCK and open the log again";
                return Err(Error::corrupt(
                    &segment.path.with_file_name(LOCK_NAME),
                    8,
                    detail,
                ));
            }
            if run.last().is_some_and(|last| last.id() + 1 != id) {
                leftovers.append(&mut run);
            }
            run.push(segment);
        }
        let first = At {
            segment: 0,
            offset: run[0].first_offset(),
        };
        Ok(Self {
            end: first,
            base: (run[0].id() == 0).then_some(0),
            cursor: Cursor::new(Arc::clone(&run[0])),
            segments: run
                .into_iter()
                .map(|segment| Listed {
                    segment,
                    first_seq: 0,
                    has_frame: false,
                })
                .collect(),
            leftovers,
            evidence,
            next_seq: 0,
            next_group: 0,
            trim_seq: 0,
            durable_seq: 0,
            groups: 0,
            entries: 0,
            lost: 0,
            sealed: false,
            last_frame: None,
            torn: Vec::new(),
            index: 0,
            at_hand: None,
        })
    }

    /// Moves on to the next frame, as far as they are valid and continue each other. Its payload
    /// lies at the range of [`Cursor::bytes`] that is returned with it.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(Header, Range<usize>)>> {
        if let Some(header) = self.at_hand.take() {
            self.cursor.advance(&header);
        }
        loop {
            if let Found::Frame(header, payload) = self.cursor.peek()?
                && self.continues(&header)
            {
                self.note(&header);
                return Ok(Some((header, payload)));
            }
            let listed = &mut self.segments[self.index];
            if !listed.has_frame {
                listed.first_seq = self.next_seq;
            }
            let Some(next) = self.segments.get(self.index + 1) else {
                return Ok(None);
            };
            self.cursor = Cursor::new(Arc::clone(&next.segment));
            self.index += 1;
        }
    }

    /// The bytes of the payload that [`next_frame`](Self::next_frame) has found.
    pub(crate) fn payload(&self, range: Range<usize>) -> &[u8] {
        self.cursor.bytes(range)
    }

    /// What pads the frame that [`next_frame`](Self::next_frame) has found.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn padding(&mut self, header: &Header) -> Result<&[u8]> {
        self.cursor.padding(header)
    }

    /// Whether the frame goes on where the one before it ended.
    fn continues(&mut self, header: &Header) -> bool {
        if self.base.is_none() {
            self.base = Some(header.first_seq);
            (self.next_seq, self.next_group) = (header.first_seq, header.group);
            // Empty segments before the first frame begin where it does.
            self.segments[..self.index]
                .iter_mut()
                .for_each(|listed| listed.first_seq = header.first_seq);
        }
        header.continues(self.next_seq, Some(self.next_group))
    }

    fn note(&mut self, header: &Header) {
        let listed = &mut self.segments[self.index];
        if !listed.has_frame {
            listed.first_seq = header.first_seq;
            listed.has_frame = true;
        }
        let at = At {
            segment: self.index,
            offset: self.cursor.offset,
        };
        let padded = header
            .frame_bytes()
            .next_multiple_of(listed.segment.block_bytes());
        self.last_frame = Some((at, header.frame_bytes()));
        self.next_seq = header.end_seq();
        self.next_group += 1;
        self.trim_seq = self.trim_seq.max(header.trim_seq);
        self.durable_seq = self.durable_seq.max(header.durable_seq);
        self.groups += 1;
        let count = if header.lost {
            &mut self.lost
        } else {
            &mut self.entries
        };
        *count += u64::from(header.entry_count);
        self.sealed = header.seal;
        self.end = At {
            offset: at.offset + padded,
            ..at
        };
        self.at_hand = Some(*header);
    }

    /// After the last frame: decides what the rest is.
    ///
    /// # Errors
    /// `Corrupt` if acknowledged entries are damaged or missing; an I/O error if a file cannot be
    /// read.
    pub(crate) fn examine(&mut self) -> Result<()> {
        self.examine_rest()?;
        let first = &self.segments[0].segment;
        if first.id() > 0 && self.base.is_none_or(|base| base > self.trim_seq) {
            let missing = first.id() - 1;
            let detail = format!(
                "segment {missing} before it is missing, and no frame says that its entries were trimmed"
            );
            return Err(Error::corrupt(&first.path, 0, detail));
        }
        Ok(())
    }

    /// Reads again where the log broke, and says whether it goes on there by now: a writer may have
    /// written between the look at that place and the look at what follows. If so,
    /// [`next_frame`](Self::next_frame) goes on.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn look_again(&mut self) -> Result<bool> {
        let end = self.end;
        self.torn.clear();
        self.at_hand = None;
        // It goes on there, or in a segment that was ready and empty.
        for index in end.segment..self.segments.len() {
            self.index = index;
            self.cursor = Cursor::new(Arc::clone(&self.segments[index].segment));
            if index == end.segment {
                self.cursor.offset = end.offset;
            }
            let found = self.cursor.peek()?;
            if matches!(found, Found::Frame(header, _) if self.continues(&header)) {
                return Ok(true);
            }
        }
        Ok(false)
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
                self.durable_seq = self.durable_seq.max(header.durable_seq);
                if header.group > self.next_group || header.durable_seq > self.next_seq {
                    let newer = newest.is_none_or(|(_, known)| header.group > known.group);
                    newest = if newer { Some((at, header)) } else { newest };
                }
                self.torn.push((at, header));
            }
        }
        let Some((at, witness)) = newest else {
            return self.compare_with_closing();
        };
        let lost = witness.durable_seq.saturating_sub(self.next_seq);
        let broken = self.damaged_place();
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

    /// Whether the log is all there that was there when it was closed last.
    fn compare_with_closing(&mut self) -> Result<()> {
        let Some(closed) = self.evidence.closed else {
            return Ok(());
        };
        if closed.group <= self.next_group && closed.next_seq <= self.next_seq {
            self.durable_seq = self.durable_seq.max(closed.next_seq);
            return Ok(());
        }
        let newest = &self.segments.last().expect("a log has a segment").segment;
        let missing = if newest.id() < closed.segment_id {
            format!(
                "segments up to {} are missing",
                segment_name(closed.segment_id)
            )
        } else {
            format!("group {} is damaged or missing", self.next_group)
        };
        let lost = closed.next_seq.saturating_sub(self.next_seq);
        let detail = format!(
            "{missing}. LOCK says that every entry below {} was durable when the log was closed, and the files \
             end with entry {}: at least {lost} acknowledged entries cannot be read",
            closed.next_seq, self.next_seq,
        );
        let broken = self.damaged_place();
        let path = &self.segments[broken.segment].segment.path;
        Err(Error::corrupt(path, broken.offset, detail))
    }

    /// Where the group stood that should have come next.
    fn damaged_place(&self) -> At {
        let own_header = self.torn.iter().find(|(_, h)| h.group == self.next_group);
        if let Some((at, _)) = own_header {
            return *at;
        }
        let next = self.end.segment + 1;
        let Some(listed) = self.segments.get(next) else {
            return self.end;
        };
        // Either here, or at the beginning of the next segment. If a later group is known to stand in
        // one of these places, it was the other one.
        let there = At {
            segment: next,
            offset: listed.segment.first_offset(),
        };
        let stands_in = |segment| self.torn.iter().any(|(at, _)| at.segment == segment);
        let full = self.end.offset == self.segments[self.end.segment].segment.end_offset();
        let taken = self.torn.iter().any(|(at, _)| *at == there);
        if full || !(stands_in(self.end.segment) || taken) {
            there
        } else {
            self.end
        }
    }
}
