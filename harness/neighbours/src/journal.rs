//! A log as a key-value store: a record for each put and delete. Writers need not take turns then, as they must
//! where positions are counted, and the log commits in groups.

use std::collections::BTreeMap;
use std::io;

const PUT: u8 = 1;
const DELETE: u8 = 0;

/// The record of a put, or of a delete.
pub(crate) fn record(key: u64, value: Option<&[u8]>) -> Vec<u8> {
    let mut record = key.to_be_bytes().to_vec();
    match value {
        Some(value) => {
            record.push(PUT);
            record.extend(value);
        }
        None => record.push(DELETE),
    }
    record
}

/// What the records say, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries(BTreeMap<u64, Vec<u8>>);

impl Entries {
    /// Takes in the next record.
    ///
    /// # Errors
    /// If no put and no delete was written like that.
    pub(crate) fn apply(&mut self, record: &[u8]) -> io::Result<()> {
        match record.split_first_chunk() {
            Some((key, [PUT, value @ ..])) => {
                self.0.insert(u64::from_be_bytes(*key), value.to_vec());
            }
            Some((key, [DELETE])) => {
                self.0.remove(&u64::from_be_bytes(*key));
            }
            _ => {
                let reason = format!("a record that was never written: {record:02x?}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        Ok(())
    }

    /// All entries.
    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) {
        for (key, value) in &self.0 {
            visit(*key, value);
        }
    }

    /// Records that say the same, each with its length before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            let record = record(*key, Some(value));
            bytes.extend((record.len() as u64).to_le_bytes());
            bytes.extend(record);
        }
        bytes
    }

    /// The entries that were encoded.
    ///
    /// # Errors
    /// If these bytes were never encoded.
    pub(crate) fn decode(mut bytes: &[u8]) -> io::Result<Self> {
        let mut entries = Self::default();
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let len = usize::try_from(u64::from_le_bytes(*len)).map_err(io::Error::other)?;
            let (record, next) = rest
                .split_at_checked(len)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            entries.apply(record)?;
            bytes = next;
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_last_record_of_each_key() {
        let mut entries = Entries::default();
        for (key, value) in [
            (1, Some("old")),
            (2, Some("gone")),
            (1, Some("new")),
            (2, None),
        ] {
            let record = record(key, value.map(str::as_bytes));
            entries.apply(&record).expect("a record");
        }
        let decoded = Entries::decode(&entries.encode()).expect("what was encoded");
        let mut shown = Vec::new();
        decoded.for_each(&mut |key, value| shown.push((key, value.to_vec())));
        assert_eq!(shown, [(1, b"new".to_vec())]);
    }

    #[test]
    fn what_was_never_written_is_an_error() {
        let mut entries = Entries::default();
        for bytes in [&[][..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 1, 2], &[0; 10]] {
            let error = entries.apply(bytes).expect_err("no record");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let cut = entries_of_one().encode();
        assert!(Entries::decode(&cut[..cut.len() - 1]).is_err());
    }

    fn entries_of_one() -> Entries {
        let mut entries = Entries::default();
        entries.apply(&record(7, Some(b"value"))).expect("a record");
        entries
    }
}
