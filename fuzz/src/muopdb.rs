//! MuopDB's files of any content: reading one never panics, asks for no more than there is, makes the same
//! of it however much is at hand, and whatever it takes for an entry has the entry's own bytes.

use groupwal::Op;
use groupwal::muopdb::{Damage, Decoder, Era, HEADER_BYTES, Header, Step, documents, file_id};

const ENTRY_BYTES_MAX: u32 = 4096;

pub fn run(data: &[u8]) {
    let name = format!("wal.{}", String::from_utf8_lossy(data));
    if let Some(id) = file_id(&name) {
        assert_eq!(name, format!("wal.{id}"));
    }
    let Some(header) = Header::decode(data) else {
        assert!(data.len() < HEADER_BYTES);
        return;
    };
    assert_eq!(header.has_magic, data.starts_with(b"version1"));
    if let Some(first) = header.first_seq() {
        assert_eq!(i64::try_from(first).unwrap() - 1, header.start_seq_no);
    }
    let entries = &data[HEADER_BYTES..];
    let whole = read(entries, entries.len());
    assert_eq!(read(entries, 0), whole);
    assert_eq!(read(entries, 5), whole);
}

#[derive(Debug, PartialEq)]
enum End {
    Whole { ambiguous: bool },
    Damaged { damage: Damage, torn: bool },
    OtherEra(Era),
}

/// Where the entries end, and why there; `at_once` more bytes are at hand than were asked for.
fn read(data: &[u8], at_once: usize) -> (usize, End) {
    let mut decoder = Decoder::new(ENTRY_BYTES_MAX);
    let (mut last, mut at) = (0, 0);
    let mut given = at_once;
    loop {
        let left = data.len() - at;
        let window = &data[at..at + given.min(left)];
        match decoder.next(window, left as u64) {
            Step::Entry(found, taken) => {
                let bytes = &window[..taken];
                assert_eq!(documents(bytes), Some(found));
                let mut again = (u32::try_from(taken).unwrap() - 4).to_le_bytes().to_vec();
                again.extend((found.doc_ids().len() as u64).to_le_bytes());
                again.extend((found.user_ids().len() as u64).to_le_bytes());
                found
                    .doc_ids()
                    .chain(found.user_ids())
                    .for_each(|id| again.extend(id.to_le_bytes()));
                found
                    .vectors()
                    .for_each(|float| again.extend(float.to_le_bytes()));
                again.push(u8::from(found.op() == Op::Delete));
                assert_eq!(again, bytes);
                (last, at) = (at, at + taken);
                given = at_once;
            }
            Step::NeedMore(more) => {
                assert!(more > window.len() && more <= left);
                assert!(more <= ENTRY_BYTES_MAX as usize + 64);
                given = more + at_once;
            }
            Step::End => {
                let ambiguous = decoder.is_ambiguous();
                return (at, End::Whole { ambiguous });
            }
            Step::Damaged(damage) => {
                let torn = decoder.is_torn(&data[last..at], &data[at..], left as u64);
                return (at, End::Damaged { damage, torn });
            }
            Step::OtherEra(era) => {
                assert!(era.to_string().contains("2025"));
                return (at, End::OtherEra(era));
            }
        }
    }
}

/// Files for the corpus: one of each era, and what a crash may leave.
pub mod file {
    pub fn header(start: i64) -> Vec<u8> {
        [b"version1".as_slice(), &start.to_le_bytes()].concat()
    }

    /// An entry; with `attributes`, as since December 2025.
    pub fn entry(
        docs: &[u128],
        users: &[u128],
        floats: &[f32],
        op: u8,
        attributes: Option<&[u8]>,
    ) -> Vec<u8> {
        let mut body = (docs.len() as u64).to_le_bytes().to_vec();
        body.extend((users.len() as u64).to_le_bytes());
        docs.iter()
            .chain(users)
            .for_each(|id| body.extend(id.to_le_bytes()));
        floats
            .iter()
            .for_each(|float| body.extend(float.to_le_bytes()));
        if let Some(attributes) = attributes {
            body.extend(u32::try_from(attributes.len()).unwrap().to_le_bytes());
            body.extend(attributes);
        }
        body.push(op);
        [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
    }
}
