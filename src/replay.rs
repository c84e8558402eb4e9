//! Reading a log in order, while writers go on.

use crate::catalog::Catalog;
use crate::engine::Writer;
use crate::entry::{self, Entry, SeqNo};
use crate::error::{Error, Kind, Result};
use crate::group::Group;
use crate::segment::{Cursor, Found};
use crate::sync::Arc;

/// A reader of a log, made by [`Wal::replay`](crate::Wal::replay). It shows only what is durable.
///
/// It keeps its place: when it has caught up, [`next`](Self::next) returns `None`, and goes on from
/// there when it is called after more entries have become durable.
pub struct Replay {
    group: Arc<Group<Writer>>,
    catalog: Arc<Catalog>,
    /// The next entry to be shown.
    next_seq: SeqNo,
    /// Every entry below it was durable when the cursor last began to read.
    durable_seq: SeqNo,
    /// `None` before the first read and after one that was dropped half-way.
    cursor: Option<Cursor>,
    /// What is left of the frame at hand.
    frame: Frame,
}

/// Entries of a frame that have not been shown yet: a range of the cursor's bytes.
#[derive(Debug, Default)]
struct Frame {
    payload: std::ops::Range<usize>,
    /// Number of the first entry in `payload`.
    seq: SeqNo,
    end_seq: SeqNo,
}

/// An entry and its place in the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Sequence number.
    pub seq: SeqNo,
    /// The entry, borrowed from the replay's memory.
    pub entry: Entry<'a>,
}

impl Replay {
    pub(crate) fn new(group: Arc<Group<Writer>>, catalog: Arc<Catalog>, from: SeqNo) -> Self {
        let frame = Frame::default();
        Self {
            group,
            catalog,
            next_seq: from,
            durable_seq: 0,
            cursor: None,
            frame,
        }
    }

    /// The next durable entry, or `None` if there is none at the moment.
    ///
    /// # Errors
    /// - [`Error::is_trimmed`] if the entry has been trimmed; start again from
    ///   [`Wal::trim_seq`](crate::Wal::trim_seq).
    /// - [`Error::lost_entries`] if the log was salvaged and the entry is among those that were lost;
    ///   whoever accepts that starts again behind them.
    /// - [`Error::is_corruption`] if the entry cannot be read although it is durable.
    /// - An I/O error. Calling again repeats the read.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call reads again.
    pub async fn next(&mut self) -> Result<Option<Record<'_>>> {
        while self.frame.seq == self.frame.end_seq || self.frame.seq < self.next_seq {
            if self.frame.seq < self.frame.end_seq {
                // The replay begins in the middle of a frame.
                self.step_entry()?;
            } else if !self.next_frame().await? {
                return Ok(None);
            }
        }
        let payload = self.frame.payload.clone();
        let seq = self.frame.seq;
        self.step_entry()?;
        self.next_seq = seq + 1;
        let cursor = self.cursor.as_ref().expect("a frame was read");
        let (entry, _) = entry::decode(cursor.bytes(payload)).expect("decoded by step_entry");
        Ok(Some(Record { seq, entry }))
    }

    /// Moves over one entry of the frame at hand.
    fn step_entry(&mut self) -> Result<()> {
        let cursor = self.cursor.as_ref().expect("a frame was read");
        let payload = &mut self.frame.payload;
        let rest = entry::decode(cursor.bytes(payload.clone())).map(|(_, rest)| rest.len());
        let rest = rest.map_err(|error| {
            Error::corrupt(&cursor.segment.path, cursor.offset, error.to_string())
        })?;
        payload.start = payload.end - rest;
        self.frame.seq += 1;
        Ok(())
    }

    /// Finds the frame with the next entry; `false` if none is durable yet.
    async fn next_frame(&mut self) -> Result<bool> {
        if self.next_seq < self.group.trim_seq() {
            let (requested, oldest) = (self.next_seq, self.group.trim_seq());
            return Err(Error::new(Kind::Trimmed { requested, oldest }));
        }
        if self.next_seq >= self.durable_seq {
            // What was read ahead may have been written since.
            self.durable_seq = self.group.durable_seq();
            if let Some(cursor) = &mut self.cursor {
                cursor.forget();
            }
            if self.next_seq >= self.durable_seq {
                return Ok(false);
            }
        }
        let search = Search {
            cursor: self.cursor.take(),
            catalog: self.catalog.clone(),
            seq: self.next_seq,
        };
        let (cursor, found) = if search.is_buffered() {
            search.run()
        } else {
            self.group.host().engine().run(move || search.run()).await?
        };
        self.cursor = cursor;
        match found {
            Ok(frame) => {
                self.frame = frame;
                Ok(true)
            }
            // A trim while we read took the segment away under us.
            Err(_) if self.next_seq < self.group.trim_seq() => {
                let (requested, oldest) = (self.next_seq, self.group.trim_seq());
                Err(Error::new(Kind::Trimmed { requested, oldest }))
            }
            Err(error) => Err(error),
        }
    }
}

/// The search for the frame with a durable entry. Owns all it needs, so that it can run on another
/// thread.
struct Search {
    cursor: Option<Cursor>,
    catalog: Arc<Catalog>,
    seq: SeqNo,
}

impl Search {
    fn is_buffered(&self) -> bool {
        self.cursor.as_ref().is_some_and(Cursor::is_buffered)
    }

    fn run(mut self) -> (Option<Cursor>, Result<Frame>) {
        let found = self.find();
        // After an error the position is not known: the next search starts from the catalog.
        (if found.is_ok() { self.cursor } else { None }, found)
    }

    fn find(&mut self) -> Result<Frame> {
        loop {
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                none => {
                    let listed = self.catalog.find(self.seq).ok_or_else(|| {
                        Error::new(Kind::Trimmed {
                            requested: self.seq,
                            oldest: self.seq + 1,
                        })
                    })?;
                    none.insert(Cursor::new(listed.segment))
                }
            };
            match cursor.peek()? {
                // A frame that does not go on with what we look for is none of the log's, as
                // recovery saw it: entries must not be skipped silently.
                Found::Frame(header, payload) if header.first_seq <= self.seq => {
                    cursor.advance(&header);
                    if header.end_seq() > self.seq {
                        if header.lost {
                            let (first, end) = (self.seq, header.end_seq());
                            return Err(Error::new(Kind::Lost { first, end }));
                        }
                        let (seq, end_seq) = (header.first_seq, header.end_seq());
                        return Ok(Frame {
                            payload,
                            seq,
                            end_seq,
                        });
                    }
                }
                // The rest of the segment is unused if the next one goes on with the entry we look
                // for.
                Found::Nothing | Found::Torn(_) | Found::Frame(..) => match self
                    .catalog
                    .after(cursor.segment.id())
                {
                    Some(next) if next.first_seq <= self.seq => {
                        self.cursor = Some(Cursor::new(next.segment));
                    }
                    _ => {
                        let detail = format!("entry {} is durable but cannot be read", self.seq);
                        return Err(Error::corrupt(&cursor.segment.path, cursor.offset, detail));
                    }
                },
            }
        }
    }
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("next_seq", &self.next_seq)
            .finish_non_exhaustive()
    }
}
