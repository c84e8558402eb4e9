//! Entries: arbitrary bytes, and well-formed ones with lies in them, encode to the same bytes again if they
//! decode; and whatever may be appended is read back, by the naive reader too.

use arbitrary::{Result, Unstructured};
use groupwal::format::{HEADER_BYTES, decode};
use groupwal::{Delete, Encode, Entry, Insert};

use crate::naive;
use crate::support::image::frames;
use crate::support::mem::MemStorage;
use crate::support::tiny::{open, ready};

/// The most entries that a script builds.
const ENTRIES_MAX: usize = 16;

pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, script)) => round_trip(&script_of(script)),
        // An input that ends too early describes no entry.
        Some((1, parts)) => appended(Unstructured::new(parts)).unwrap_or(()),
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

/// Parts as a user brings them, whether they fit each other or not.
fn appended(mut u: Unstructured<'_>) -> Result<()> {
    let which = u.arbitrary::<u8>()? % 5;
    let counts = u
        .arbitrary::<[u8; 3]>()?
        .map(|count| usize::from(count % 8));
    let mut ids = |count: usize| {
        (0..count)
            .map(|_| u.arbitrary())
            .collect::<Result<Vec<u128>>>()
    };
    let (doc_ids, user_ids) = (ids(counts[0])?, ids(counts[1])?);
    let vectors = (0..counts[2])
        .map(|_| u.arbitrary())
        .collect::<Result<Vec<u32>>>()?;
    let floats: Vec<f32> = vectors.iter().copied().map(f32::from_bits).collect();
    let text = String::from_utf8_lossy(u.take_rest());
    let bytes = naive::Entry::Bytes(text.as_bytes().to_vec());
    let (doc_ids, user_ids) = (&doc_ids[..], &user_ids[..]);
    let documents = |is_insert, vectors: &[u32]| naive::Entry::Documents {
        is_insert,
        doc_ids: doc_ids.to_vec(),
        user_ids: user_ids.to_vec(),
        vectors: vectors.to_vec(),
    };
    let insert = Insert {
        doc_ids,
        user_ids,
        vectors: &floats,
    };
    let fits = if doc_ids.is_empty() {
        floats.is_empty()
    } else {
        floats.len().is_multiple_of(doc_ids.len())
    };
    match which {
        0 => append(&insert, &documents(true, &vectors), fits),
        1 => append(&Delete { doc_ids, user_ids }, &documents(false, &[]), true),
        2 => append(&*text, &bytes, true),
        3 => append(&Box::new(text.clone().into_owned()), &bytes, true),
        _ => append(&text.as_bytes().to_vec(), &bytes, true),
    }
    Ok(())
}

/// Appends `entry`, which is refused unless it `fits` its own layout and the log's limit, and looks at what
/// stands on the disk.
fn append(entry: &(impl Encode + ?Sized), expected: &naive::Entry, fits: bool) {
    let storage = MemStorage::new(1);
    let wal = open(&storage).unwrap();
    let outcome = ready(wal.append(entry));
    let image = storage.snapshot();
    let log = naive::log(&image).expect("what was written can be read");
    if let Err(error) = outcome {
        let is_long = matches!(expected, naive::Entry::Bytes(bytes) if bytes.len() > 1024);
        assert!(error.is_invalid_entry() && (!fits || is_long), "{error}");
        assert_eq!(log.entries, []);
    } else {
        assert!(fits);
        assert_eq!(log.entries, [(0, expected.clone())]);
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
