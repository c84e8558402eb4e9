//! A second reader of a log, written from the documented layouts alone, in the plainest way: whole files
//! in memory, copies everywhere, a checksum bit by bit. It shares no code with the log, so that a
//! mistake would have to be made twice.

use std::collections::BTreeMap;

/// File names and what the files hold.
type Image = BTreeMap<String, Vec<u8>>;

/// No position has a number as high.
const POSITION_MAX: u64 = 1 << 63;
const HEADER_BYTES: usize = 64;

/// An entry, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Bytes(Vec<u8>),
    Documents {
        is_insert: bool,
        doc_ids: Vec<u128>,
        user_ids: Vec<u128>,
        /// Bit patterns.
        vectors: Vec<u32>,
    },
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub trim_seq: u64,
    /// Entries and their numbers, those that may be gone included.
    pub entries: Vec<(u64, Entry)>,
    /// Numbers of entries that a salvage could not bring back.
    pub lost: Vec<std::ops::Range<u64>>,
    pub next_seq: u64,
}

/// CRC-64/NVME: reflected polynomial 0x9a6c9329ac4bc9b5, all ones before and after.
fn crc64(parts: &[&[u8]]) -> u64 {
    let mut crc = !0_u64;
    for byte in parts.concat() {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x9a6c_9329_ac4b_c9b5
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<u128> {
    let bytes = bytes.get(at..at.checked_add(len)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte)),
    )
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at, 8).map(|n| u64::try_from(n).unwrap())
}

fn size_at(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    number(bytes, at, len).and_then(|n| usize::try_from(n).ok())
}

/// The entry at the start of `bytes`, and how long it is.
pub fn entry(bytes: &[u8]) -> Option<(Entry, usize)> {
    let kind = *bytes.first()?;
    let end = 5 + size_at(bytes, 1, 4)?;
    let body = bytes.get(5..end)?;
    if kind == 2 {
        return Some((Entry::Bytes(body.to_vec()), end));
    }
    if kind != 1 {
        return None;
    }
    let (n_docs, n_users) = (number(body, 0, 8)?, number(body, 8, 8)?);
    let ids_end = 16 + 16 * (n_docs + n_users);
    // The operation stands behind the ids and the floats.
    if ids_end + 1 > body.len() as u128 {
        return None;
    }
    let (ids_end, n_docs) = (
        usize::try_from(ids_end).unwrap(),
        usize::try_from(n_docs).unwrap(),
    );
    let ids: Vec<u128> = (16..ids_end)
        .step_by(16)
        .map(|at| number(body, at, 16).unwrap())
        .collect();
    let floats = &body[ids_end..body.len() - 1];
    let op = body[body.len() - 1];
    if !floats.len().is_multiple_of(4) || op > 1 {
        return None;
    }
    let vectors: Vec<u32> = (0..floats.len())
        .step_by(4)
        .map(|at| u32::try_from(number(floats, at, 4).unwrap()).unwrap())
        .collect();
    let may_have_vectors = op == 0 && n_docs > 0 && vectors.len().is_multiple_of(n_docs);
    if !vectors.is_empty() && !may_have_vectors {
        return None;
    }
    let entry = Entry::Documents {
        is_insert: op == 0,
        doc_ids: ids[..n_docs].to_vec(),
        user_ids: ids[n_docs..].to_vec(),
        vectors,
    };
    Some((entry, end))
}

struct Segment<'a> {
    id: u64,
    block: usize,
    /// As far as it was made.
    bytes: &'a [u8],
    log_id: &'a [u8],
    salt: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Header {
    payload_len: usize,
    count: u64,
    group: u64,
    first: u64,
    durable: u64,
    trim: u64,
    payload_checksum: u64,
    is_lost: bool,
}

/// The segment that a file was made for, if it has a segment's header.
fn made_for(bytes: &[u8]) -> Option<u64> {
    let made = u64_at(bytes, 16)?;
    let block = number(bytes, 12, 4)?;
    let id = u64_at(bytes, 40)?;
    let fits = bytes.len() >= 64
        && &bytes[..8] == b"groupwal"
        && number(bytes, 8, 4)? == 1
        && u64_at(bytes, 56)? == crc64(&[&bytes[..56]])
        && [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536].contains(&block)
        && u128::from(made).is_multiple_of(block)
        && id < POSITION_MAX;
    fits.then_some(id)
}

/// What LOCK says of the log.
enum Lock {
    Nothing,
    /// Bytes that are no record.
    Damaged,
    Log {
        id: Vec<u8>,
        /// The group and the entry below which all was durable when the log was closed.
        closed: Option<(u64, u64)>,
    },
}

impl Lock {
    fn read(bytes: Option<&Vec<u8>>) -> Self {
        let mut bytes = bytes.cloned().unwrap_or_default();
        bytes.resize(bytes.len().max(4096), 0);
        let is_record = |at: usize, magic: &[u8]| {
            let record = &bytes[at..at + 64];
            &record[..8] == magic && u64_at(record, 56) == Some(crc64(&[&record[..56]]))
        };
        if bytes[..64].iter().all(|byte| *byte == 0) {
            return Self::Nothing;
        }
        if !is_record(0, b"gWlock-1") {
            return Self::Damaged;
        }
        let id = bytes[8..24].to_vec();
        let (group, next) = (u64_at(&bytes, 544).unwrap(), u64_at(&bytes, 552).unwrap());
        let is_closed = is_record(512, b"gWseal-1")
            && bytes[520..536] == id
            && group < POSITION_MAX
            && next < POSITION_MAX;
        let closed = is_closed.then_some((group, next));
        Self::Log { id, closed }
    }
}

impl<'a> Segment<'a> {
    /// `None` if a log may not have such a file.
    fn read(id: u64, bytes: &'a [u8]) -> Option<Self> {
        let made = size_at(bytes, 16, 8)?;
        let fits = made_for(bytes)? == id && bytes.len() >= made;
        fits.then(|| Self {
            id,
            block: size_at(bytes, 12, 4).unwrap(),
            bytes: &bytes[..made],
            log_id: &bytes[24..40],
            salt: &bytes[48..56],
        })
    }

    fn seed(&self, offset: usize) -> [u8; 8] {
        crc64(&[self.log_id, self.salt, &(offset as u64).to_le_bytes()]).to_le_bytes()
    }

    fn header(&self, offset: usize) -> Option<Header> {
        let bytes = self.bytes.get(offset..offset.checked_add(HEADER_BYTES)?)?;
        let flags = number(bytes, 4, 4)?;
        let header = Header {
            payload_len: size_at(bytes, 8, 4)?,
            count: u64::try_from(number(bytes, 12, 4)?).unwrap(),
            group: u64_at(bytes, 16)?,
            first: u64_at(bytes, 24)?,
            durable: u64_at(bytes, 32)?,
            trim: u64_at(bytes, 40)?,
            payload_checksum: u64_at(bytes, 48)?,
            is_lost: flags == 2,
        };
        let fits = &bytes[..4] == b"gWf1"
            && flags <= 2
            && (!header.is_lost || (header.payload_len == 0 && header.count > 0))
            && u64_at(bytes, 56)? == crc64(&[&self.seed(offset), &bytes[..56]])
            && header.trim <= header.durable
            && header.durable <= header.first
            && header.first < POSITION_MAX
            && header.group < POSITION_MAX;
        fits.then_some(header)
    }

    /// A frame whose payload is whole: its header, its entries, and where the next one begins.
    fn frame(&self, offset: usize) -> Option<(Header, Vec<Entry>, usize)> {
        let header = self.header(offset)?;
        let start = offset + HEADER_BYTES;
        let payload = self
            .bytes
            .get(start..start.checked_add(header.payload_len)?)?;
        if crc64(&[&self.seed(offset), payload]) != header.payload_checksum {
            return None;
        }
        let mut entries = Vec::new();
        let mut at = 0;
        let count = if header.is_lost { 0 } else { header.count };
        for _ in 0..count {
            let (entry, len) = entry(&payload[at..])?;
            entries.push(entry);
            at += len;
        }
        let end = start + header.payload_len;
        (at == payload.len()).then(|| (header, entries, end.next_multiple_of(self.block)))
    }
}

/// The number in the name of a log's file. One beyond 64 bits is no log's.
fn numbered(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// What a directory's files say, or `None` if a log must not be opened on them. A directory
/// without segments is an empty log, unless something shows that there were any.
pub fn log(image: &Image) -> Option<Log> {
    let mut segments = Vec::new();
    for (name, bytes) in image {
        if let Some(id) = numbered(name, ".seg") {
            segments.push(Segment::read(id, bytes)?);
        }
    }
    let lock = Lock::read(image.get("LOCK"));
    if segments.is_empty() {
        let is_of_a_log = |(name, bytes): (&String, &Vec<u8>)| {
            numbered(name, ".spare").is_some() && made_for(bytes).is_some_and(|id| id > 0)
        };
        if !matches!(lock, Lock::Nothing) || image.iter().any(is_of_a_log) {
            return None;
        }
    }
    if let Lock::Log { id, .. } = &lock
        && segments.iter().any(|segment| segment.log_id != id)
    {
        return None;
    }
    if segments
        .windows(2)
        .any(|pair| pair[0].log_id != pair[1].log_id)
    {
        return None;
    }
    // What lies before the last gap in the numbers has been trimmed.
    let gap = segments
        .windows(2)
        .rposition(|pair| pair[0].id + 1 != pair[1].id);
    let segments = &segments[gap.map_or(0, |gap| gap + 1)..];
    let mut log = Log {
        trim_seq: 0,
        entries: Vec::new(),
        lost: Vec::new(),
        next_seq: 0,
    };
    let is_first = segments.first().is_none_or(|first| first.id == 0);
    let mut base = is_first.then_some(0);
    let mut next_group = 0;
    let mut end = (0, segments.first().map_or(0, |segment| segment.block));
    for (index, segment) in segments.iter().enumerate() {
        let mut offset = segment.block;
        while let Some((header, entries, behind)) = segment.frame(offset) {
            if base.is_none() {
                base = Some(header.first);
                (log.next_seq, next_group) = (header.first, header.group);
            }
            if (header.group, header.first) != (next_group, log.next_seq) {
                break;
            }
            next_group += 1;
            log.trim_seq = log.trim_seq.max(header.trim);
            log.entries.extend((log.next_seq..).zip(entries));
            log.next_seq += header.count;
            if header.is_lost {
                log.lost.push(header.first..log.next_seq);
            }
            offset = behind;
            end = (index, behind);
        }
    }
    // Does anything behind the end say that more than this was durable?
    for (index, segment) in segments.iter().enumerate().skip(end.0) {
        let from = if index == end.0 { end.1 } else { segment.block };
        for offset in (from..segment.bytes.len()).step_by(segment.block) {
            if let Some(header) = segment.header(offset)
                && (header.group > next_group || header.durable > log.next_seq)
            {
                return None;
            }
        }
    }
    if let Lock::Log {
        closed: Some((group, next)),
        ..
    } = lock
        && (group > next_group || next > log.next_seq)
    {
        return None;
    }
    // A log that does not begin at the beginning must say that the rest was trimmed.
    if !is_first && base.is_none_or(|base| base > log.trim_seq) {
        return None;
    }
    Some(log)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(super::crc64(&[b"1234", b"56789"]), 0xae8b_1486_0a79_9888);
    }
}
