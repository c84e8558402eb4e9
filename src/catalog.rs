//! The segments that make up a log at this moment, shared by its writer, its replays and trim.

use crate::directory::Directory;
use crate::error::Result;
use crate::segment::Segment;
use crate::shelf::Shelf;
use crate::sync::{Arc, Mutex, lock};

/// The segments that hold entries, oldest first, shared with replays.
#[derive(Debug, Default)]
pub(crate) struct Catalog(Mutex<Vec<Listed>>);

#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) segment: Arc<Segment>,
    /// No entry of the segment has a lower number; every entry of the segment before has.
    pub(crate) first_seq: u64,
    /// A durable frame lies in it. An empty segment cannot say where the log begins.
    pub(crate) has_frame: bool,
}

impl Catalog {
    pub(crate) fn new(segments: Vec<Listed>) -> Self {
        Self(Mutex::new(segments))
    }

    /// The segment that holds entry `seq`, or would; `None` if it has been trimmed.
    pub(crate) fn find(&self, seq: u64) -> Option<Listed> {
        lock(&self.0)
            .iter()
            .rev()
            .find(|listed| listed.first_seq <= seq)
            .cloned()
    }

    /// The segment after `segment_id`.
    pub(crate) fn after(&self, segment_id: u64) -> Option<Listed> {
        lock(&self.0)
            .iter()
            .find(|listed| listed.segment.id() > segment_id)
            .cloned()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Whether a trim to this position would free the room of a segment.
    pub(crate) fn would_free(&self, trim_seq: u64) -> bool {
        count_below(&lock(&self.0), trim_seq) > 0
    }

    pub(crate) fn push(&self, listed: Listed) {
        lock(&self.0).push(listed);
    }

    /// Nobody writes the segments before the newest one any more. One that is being read stays open until the
    /// next call.
    pub(crate) fn rest(&self, on: &Arc<Shelf>) {
        if let Some((_, older)) = lock(&self.0).split_last_mut() {
            for listed in older {
                if let Some(segment) = Arc::get_mut(&mut listed.segment) {
                    segment.rest(on);
                }
            }
        }
    }

    /// Notes that the newest segment has got a durable frame.
    pub(crate) fn note_frame(&self) {
        if let Some(newest) = lock(&self.0).last_mut() {
            newest.has_frame = true;
        }
    }

    /// Takes out the segments whose entries all lie below `trim_seq`, oldest first; never the
    /// newest one that has a frame. After it there may be empty ones, just rotated to, and without
    /// a frame nothing would say that the segments before them are missing with good reason.
    fn take_below(&self, trim_seq: u64) -> Vec<Arc<Segment>> {
        let mut segments = lock(&self.0);
        let kept_from = count_below(&segments, trim_seq);
        segments
            .drain(..kept_from)
            .map(|listed| listed.segment)
            .collect()
    }
}

/// How many segments a trim would take away.
fn count_below(segments: &[Listed], trim_seq: u64) -> usize {
    let newest = segments.iter().rposition(|listed| listed.has_frame);
    segments[..newest.map_or(0, |newest| newest + 1)]
        .windows(2)
        .take_while(|pair| pair[1].first_seq <= trim_seq)
        .count()
}

/// Takes away the segments whose entries all lie below `trim_seq`. The caller has made `trim_seq`
/// durable.
pub(crate) fn trim(directory: &Directory, catalog: &Catalog, trim_seq: u64) -> Result<()> {
    let segments = catalog.take_below(trim_seq);
    if segments.is_empty() {
        return Ok(());
    }
    tracing::debug!(trim_seq, segments = segments.len(), "trimming");
    directory.retire(segments)
}
