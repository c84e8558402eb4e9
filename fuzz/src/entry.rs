//! Entries: arbitrary bytes, and well-formed ones with lies in them. Whatever decodes encodes to the same
//! bytes again.

use arbitrary::{Result, Unstructured};
use groupwal::Entry;
use groupwal::format::{HEADER_BYTES, decode};

use crate::support::image::frames;
use crate::support::mem::MemStorage;
use crate::support::tiny::{open, ready};

/// The most entries that a script builds.
const ENTRIES_MAX: usize = 16;

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, script)) => round_trip(&script_of(script)),
        Some((_, raw)) => round_trip(raw),
        None => round_trip(&[]),
    }
}

fn round_trip(data: &[u8]) {
    let mut rest = data;
    let mut decoded: Vec<Entry<'_>> = Vec::new();
    let stopped = loop {
        match decode(rest) {
            Ok((entry, behind)) => {
                decoded.push(entry);
                rest = behind;
            }
            Err(error) => break error,
        }
    };
    assert!(!stopped.to_string().is_empty());
    let bytes = &data[..data.len() - rest.len()];
    // What the log writes for a batch of them is what they were decoded from.
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    if ready(wal.append_batch(&decoded)).is_ok() {
        let image = storage.snapshot();
        let frame = &frames(&image)[0];
        assert_eq!(&image[&frame.file][frame.range()][HEADER_BYTES..], bytes);
    } else {
        assert!(decoded.is_empty() || bytes.len() > 1024);
    }
}

/// The bytes that a script builds: entries, some of which lie about their parts, and some damage. A script
/// that ends too early builds what it has described by then.
pub fn script_of(script: &[u8]) -> Vec<u8> {
    let mut u = Unstructured::new(script);
    let mut bytes = Vec::new();
    for _ in 0..ENTRIES_MAX {
        if u.is_empty() || push_entry(&mut u, &mut bytes).is_err() {
            break;
        }
    }
    bytes
}

fn push_entry(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let shape = u.arbitrary::<u8>()?;
    let mut body = Vec::new();
    let kind = if shape & 1 == 0 {
        let len = usize::from(u.arbitrary::<u8>()?);
        body.extend_from_slice(u.bytes(len.min(u.len()))?);
        2
    } else {
        let [docs, users, floats, op] = u.arbitrary::<[u8; 4]>()?.map(|n| u64::from(n % 6));
        let lies = shape & 2 != 0;
        let told = |u: &mut Unstructured<'_>, count: u64| {
            if lies { u.arbitrary() } else { Ok(count) }
        };
        body.extend(told(u, docs)?.to_le_bytes());
        body.extend(told(u, users)?.to_le_bytes());
        (0..docs + users).for_each(|id| body.extend(u128::from(id).to_le_bytes()));
        (0..floats * docs.max(1)).for_each(|_| body.extend(1.5_f32.to_le_bytes()));
        body.push(u8::try_from(op).unwrap());
        1
    };
    let len = u32::try_from(body.len()).unwrap();
    let len = if shape & 4 == 0 { len } else { u.arbitrary()? };
    bytes.push(if shape & 8 == 0 { kind } else { u.arbitrary()? });
    bytes.extend(len.to_le_bytes());
    bytes.extend(body);
    if shape & 16 != 0 {
        let (at, mask): (u16, u8) = u.arbitrary()?;
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= mask;
    }
    Ok(())
}
