//! Rows of several segments as one: for each key the newest, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use groupwal::StorageDir;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::row::{Key, Row};
use crate::segment::{Cursor, Segment, SegmentInfo, SegmentWriter};

/// Reads segments side by side. What newer ones say hides what older ones say.
#[derive(Debug)]
pub(crate) struct Merged {
    /// Newest first.
    cursors: Vec<Cursor>,
}

impl Merged {
    /// Segments are given oldest first; only a user's rows, if one is given.
    pub(crate) fn new(segments: &[Arc<Segment>], user: Option<u128>) -> Result<Self> {
        let newest_first = segments.iter().rev().cloned();
        let cursors: Result<_> = newest_first
            .map(|segment| Cursor::new(segment, user))
            .collect();
        Ok(Self { cursors: cursors? })
    }

    /// The next key, and the cursor with its newest row.
    fn newest(&self) -> Option<(Key, usize)> {
        let keys = self.cursors.iter().map(Cursor::key).zip(0..);
        // Of equal keys the first cursor's, which is the newest.
        keys.filter_map(|(key, index)| Some((key?, index))).min()
    }

    /// Hands the next row to `visit`; `false` at the end.
    pub(crate) fn next(&mut self, visit: impl FnOnce(Row) -> Result<()>) -> Result<bool> {
        let Some((key, newest)) = self.newest() else {
            return Ok(false);
        };
        visit(self.cursors[newest].row())?;
        for cursor in &mut self.cursors {
            if cursor.key() == Some(key) {
                cursor.advance()?;
            }
        }
        Ok(true)
    }
}

/// Which neighbours to merge, if any: at least `width` of a size, or of smaller sizes.
///
/// Sizes double `width`-fold from class to class, so every row is copied about once a class, and there are
/// fewer than `width` neighbours a class left (the size-tiered compaction of other LSM trees).
pub(crate) fn choose(segments: &[SegmentInfo], width: usize) -> Option<std::ops::Range<usize>> {
    let factor = u64::try_from(width).unwrap_or(u64::MAX);
    let class = |info: &SegmentInfo| (info.bytes >> 12).max(1).ilog(factor);
    let classes: Vec<u32> = segments.iter().map(class).collect();
    let mut wanted: Vec<u32> = classes.clone();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.into_iter().find_map(|largest| {
        let mut start = 0;
        let runs = classes.chunk_by(|a, b| (*a <= largest) == (*b <= largest));
        for run in runs {
            let range = start..start + run.len();
            if run[0] <= largest && run.len() >= width {
                return Some(range);
            }
            start = range.end;
        }
        None
    })
}

/// Writes one segment from several, oldest first, and syncs it. `None` if nothing is left of them. Removals are kept
/// unless nothing is older.
pub(crate) fn merge(
    dir: &dyn StorageDir,
    segments: &[Arc<Segment>],
    id: u64,
    dimension: usize,
    keep_removals: bool,
    stop: &AtomicBool,
) -> Result<Option<Segment>> {
    let mut merged = Merged::new(segments, None)?;
    let mut writer = SegmentWriter::create(dir, id, dimension)?;
    let mut rows = 0_u64;
    let mut copy = || -> Result<()> {
        while merged.next(|row| {
            if row.vector.is_none() && !keep_removals {
                return Ok(());
            }
            rows += 1;
            writer.push(row)
        })? {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::new(Kind::Closed));
            }
        }
        Ok(())
    };
    match copy() {
        Ok(()) if rows > 0 => finish(dir, writer).map(Some),
        copied => {
            writer.discard(dir);
            copied.map(|()| None)
        }
    }
}

/// Makes a segment that is written durable, with its name; gives it up if that fails.
pub(crate) fn finish(dir: &dyn StorageDir, writer: SegmentWriter) -> Result<Segment> {
    let name = writer.name();
    let finished = writer.finish().and_then(|segment| {
        files::sync_dir(dir)?;
        Ok(segment)
    });
    if finished.is_err() {
        files::give_up(dir, &name);
    }
    finished
}
