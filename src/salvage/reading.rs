//! Two readings of a log, compared.
//!
//! A log that is in use may change while it is read, and its lock is not seen from everywhere. Both
//! readings look at every place of the log. If they find the same, the log was as they found it at the
//! moment between them: a group is never written twice, so what a place holds does not come back.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::source::Source;
use crate::cursor::Found;
use crate::frame::Header;

/// What a reading has found so far.
#[derive(Debug, Default)]
pub(super) struct Reading(DefaultHasher);

impl Reading {
    /// Takes up what the source has just found.
    pub(super) fn note(&mut self, found: &Found, source: &Source) {
        let (is_whole, header) = match found {
            Found::Frame(header, _) => (true, header),
            Found::Torn(header) => (false, header),
            Found::Nothing => return,
        };
        let (segment, offset) = source.position_of_frame();
        (segment.segment_id, segment.salt, offset, is_whole).hash(&mut self.0);
        let Header {
            payload_len,
            entry_count,
            group,
            first_seq,
            durable_seq,
            trim_seq,
            seal,
            lost,
        } = header;
        (payload_len, entry_count, group, first_seq).hash(&mut self.0);
        (durable_seq, trim_seq, seal, lost).hash(&mut self.0);
    }

    pub(super) fn digest(&self) -> u64 {
        self.0.finish()
    }
}
