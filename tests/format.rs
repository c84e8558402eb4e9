//! The bytes of a log, from the documented layouts alone, and what is not a header whatever its
//! checksum says. The layouts are frozen: logs that exist must be read for ever.

mod support;

use groupwal::format::{HEADER_BYTES, Header, Seed, payload_is_valid};
use groupwal::{Delete, Insert};
use support::image::{forge_frame, forge_segment, opaque_payload, segment_name};
use support::mem::MemStorage;
use support::tiny::{BLOCK, SEGMENT, open, ready};

/// CRC-64/NVME, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    let crc = bytes.iter().fold(!0_u64, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            let carry = if crc & 1 == 1 {
                0x9a6c_9329_ac4b_c9b5
            } else {
                0
            };
            (crc >> 1) ^ carry
        })
    });
    !crc
}

#[test]
fn the_checksum_is_the_published_one() {
    // The catalogue's check value.
    assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
}

/// Bytes that are written down field by field.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    fn u128(self, value: u128) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// The checksum of `seed` and all bytes so far.
    fn checksum(self, seed: &[u8]) -> Self {
        let sum = crc64(&[seed, &self.0].concat());
        self.u64(sum)
    }

    fn padded(mut self, len: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(len), 0);
        self.0
    }
}

/// A frame at `offset` of a segment, padded. `fields`: group, `first_seq`, `durable_seq`, `trim_seq`.
fn frame(
    segment: &[u8],
    offset: u64,
    flags: u32,
    count: u32,
    fields: [u64; 4],
    payload: &[u8],
) -> Vec<u8> {
    let (log_id, salt) = (&segment[24..40], &segment[48..56]);
    let place = [log_id, salt, &offset.to_le_bytes()].concat();
    let seed = crc64(&place).to_le_bytes();
    let mut bytes = Bytes::default()
        .raw(b"gWf1")
        .u32(flags)
        .u32(u32::try_from(payload.len()).unwrap())
        .u32(count);
    for field in fields {
        bytes = bytes.u64(field);
    }
    bytes
        .u64(crc64(&[&seed, payload].concat()))
        .checksum(&seed)
        .raw(payload)
        .padded(BLOCK)
}

#[test]
fn a_log_is_made_of_the_documented_bytes() {
    let storage = MemStorage::new(7);
    let wal = open(&storage).unwrap();
    ready(wal.append(b"hello")).unwrap();
    let insert = Insert {
        doc_ids: &[3, u128::MAX],
        user_ids: &[0x0102],
        vectors: &[1.0, -2.5, 0.0, f32::MAX],
    };
    ready(wal.append(&insert)).unwrap();
    ready(wal.append_batch(&[&b"a"[..], b""])).unwrap();
    let delete = Delete {
        doc_ids: &[3],
        user_ids: &[],
    };
    ready(wal.append(&delete)).unwrap();
    ready(wal.trim(2)).unwrap();
    ready(wal.close()).unwrap();
    drop(wal);

    let image = storage.snapshot();
    let found = &image[&segment_name(0)];
    // What is random.
    let (log_id, salt) = (&found[24..40], &found[48..56]);
    let segment = Bytes::default()
        .raw(b"groupwal")
        .u32(1)
        .u32(512)
        .u64(SEGMENT as u64)
        .raw(log_id)
        .u64(0)
        .raw(salt)
        .checksum(b"")
        .padded(BLOCK);

    let hello = opaque_payload(&[b"hello"]);
    let inserted = Bytes::default()
        .raw(&[1])
        .u32(8 + 8 + 3 * 16 + 4 * 4 + 1)
        .u64(2)
        .u64(1)
        .u128(3)
        .u128(u128::MAX)
        .u128(0x0102)
        .u32(0x3f80_0000)
        .u32(0xc020_0000)
        .u32(0)
        .u32(0x7f7f_ffff)
        .raw(&[0])
        .0;
    let both = opaque_payload(&[b"a", b""]);
    let deleted = Bytes::default()
        .raw(&[1])
        .u32(8 + 8 + 16 + 1)
        .u64(1)
        .u64(0)
        .u128(3)
        .raw(&[1])
        .0;
    // Flags, entries; group, first, durable, trim; payload.
    let frames: [(u32, u32, [u64; 4], &[u8]); 6] = [
        (0, 1, [0, 0, 0, 0], &hello),
        (0, 1, [1, 1, 1, 0], &inserted),
        (0, 2, [2, 2, 2, 0], &both),
        (0, 1, [3, 4, 4, 0], &deleted),
        (0, 0, [4, 5, 5, 2], b""),
        // Closing: nothing was left to be written before the seal.
        (1, 0, [5, 5, 5, 2], b""),
    ];
    let mut expected = segment;
    for (flags, count, fields, payload) in frames {
        let offset = expected.len() as u64;
        expected.extend(frame(found, offset, flags, count, fields, payload));
    }
    expected.resize(SEGMENT, 0);
    for (block, (found, expected)) in found.chunks(BLOCK).zip(expected.chunks(BLOCK)).enumerate() {
        assert!(
            found == expected,
            "block {block} is {:02x?}, not {:02x?}",
            &found[..2 * HEADER_BYTES],
            &expected[..2 * HEADER_BYTES]
        );
    }
    assert_eq!(found.len(), SEGMENT);

    // What LOCK says: which log it is, and how far it went before the seal.
    let lock = &image["LOCK"];
    let mark = Bytes::default()
        .raw(b"gWlock-1")
        .raw(log_id)
        .raw(&[0; 32])
        .checksum(b"");
    let closed = Bytes::default()
        .raw(b"gWseal-1")
        .raw(log_id)
        .u64(0)
        .u64(5)
        .u64(5)
        .u64(0)
        .checksum(b"");
    let mut expected = mark.padded(BLOCK);
    expected.extend(closed.padded(BLOCK));
    expected.resize(4096, 0);
    assert_eq!(*lock, expected);
}

const WELL_FORMED: Header = Header {
    payload_len: 0,
    entry_count: 0,
    group: 3,
    first_seq: 9,
    durable_seq: 8,
    trim_seq: 7,
    seal: false,
    lost: false,
};

/// Whether `header`, with flags of its own if they are given, is one where it has been written with good
/// checksums.
fn is_a_header(header: Header, flags: Option<u32>) -> bool {
    let (log_id, salt, offset) = ([5; 16], 6, BLOCK);
    let mut segment = forge_segment(1, BLOCK, SEGMENT, log_id, 0, salt);
    let payload = vec![0; header.payload_len as usize];
    forge_frame(&mut segment, offset, header, &payload);
    let seed = Seed::new(log_id, salt, offset as u64);
    let bytes = &mut segment[offset..];
    if let Some(flags) = flags {
        bytes[4..8].copy_from_slice(&flags.to_le_bytes());
        let checksum = seed.checksum(&bytes[..HEADER_BYTES - 8]);
        bytes[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
    let decoded = Header::decode(seed, bytes);
    if let Some((decoded, _)) = decoded {
        assert_eq!(decoded, header);
    }
    decoded.is_some()
}

#[test]
fn what_no_writer_produces_is_no_header() {
    const MAX: u64 = 1 << 63;
    let plain = WELL_FORMED;
    let lost = Header {
        entry_count: 2,
        lost: true,
        ..plain
    };
    for well_formed in [
        plain,
        Header {
            seal: true,
            ..plain
        },
        Header {
            payload_len: 7,
            ..plain
        },
        Header {
            entry_count: 7,
            ..plain
        },
        Header {
            trim_seq: 8,
            ..plain
        },
        Header {
            durable_seq: 9,
            ..plain
        },
        Header {
            first_seq: MAX - 1,
            ..plain
        },
        Header {
            group: MAX - 1,
            ..plain
        },
        lost,
    ] {
        assert!(is_a_header(well_formed, None), "{well_formed:?}");
    }
    for malformed in [
        Header {
            trim_seq: 9,
            ..plain
        },
        Header {
            durable_seq: 10,
            ..plain
        },
        Header {
            first_seq: MAX,
            ..plain
        },
        Header {
            group: MAX,
            ..plain
        },
        // Who is lost is somebody, has no bytes, and does not end a log.
        Header {
            entry_count: 0,
            ..lost
        },
        Header {
            payload_len: 7,
            ..lost
        },
        Header { seal: true, ..lost },
    ] {
        assert!(!is_a_header(malformed, None), "{malformed:?}");
    }
    for bit in 2..32 {
        assert!(!is_a_header(plain, Some(1 << bit)), "flag {bit}");
        assert!(!is_a_header(plain, Some(1 << bit | 1)), "flag {bit}, seal");
    }
}

#[test]
fn a_payload_is_as_many_whole_entries_as_its_header_says_and_nothing_else() {
    let seed = Seed::new([5; 16], 6, 512);
    let two = opaque_payload(&[b"a", b""]);
    let is_valid = |entry_count, payload: &[u8]| {
        let header = Header {
            payload_len: u32::try_from(payload.len()).unwrap(),
            entry_count,
            ..WELL_FORMED
        };
        payload_is_valid(seed, &header, seed.checksum(payload), payload)
    };
    assert!(is_valid(2, &two) && is_valid(0, b""));
    for (entry_count, payload) in [
        (1, &two[..]),
        (3, &two),
        (2, &two[..two.len() - 1]),
        (2, &[&two[..], &[0]].concat()),
        (1, &[3, 0, 0, 0, 0]),
        (0, &[0]),
    ] {
        assert!(
            !is_valid(entry_count, payload),
            "{entry_count}, {payload:?}"
        );
    }
}
