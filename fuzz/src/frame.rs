//! Frames: arbitrary bytes, and valid frames with damage.
//!
//! Random bytes never pass a checksum, so most inputs describe a frame that is then forged with
//! valid checksums, and what is to be done to it.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use groupwal::Builder;
use groupwal::format::{HEADER_BYTES, Header, Seed, payload_is_valid};

use crate::support::image::{forge_frame, forge_segment};
use crate::support::mem::MemStorage;
use crate::support::tiny::options;

const BLOCK: usize = 512;

pub fn run(data: &[u8]) {
    raw(data);
    // An input that ends too early describes no frame.
    forged(Unstructured::new(data)).ok();
    built(data);
}

/// A log is built of whatever comes, and given up.
fn built(data: &[u8]) {
    let storage = Arc::new(MemStorage::new(1));
    let mut builder = Builder::create_with(storage, "/built", 7, &options()).unwrap();
    let mut next = 7;
    for chunk in data.chunks(64) {
        assert_eq!(builder.push(chunk).unwrap(), next);
        next += 1;
        if chunk[0] == 0 {
            builder.push_lost(chunk.len() as u64).unwrap();
            next += chunk.len() as u64;
        }
    }
    assert_eq!(builder.next_seq(), next);
}

fn raw(data: &[u8]) {
    let Some((header, checksum)) = Header::decode(Seed::new([0; 16], 0, 0), data) else {
        return;
    };
    payload_is_valid(
        Seed::new([0; 16], 0, 0),
        &header,
        checksum,
        &data[HEADER_BYTES..],
    );
}

fn forged(mut u: Unstructured<'_>) -> Result<()> {
    let mut segment = forge_segment(1, BLOCK, 8 * BLOCK, u.arbitrary()?, 0, u.arbitrary()?);
    let block = usize::from(u.arbitrary::<u8>()?) % 4 + 1;
    let (log_id, salt) = {
        let fields = crate::support::image::segment_fields(&segment).unwrap();
        (fields.log_id, fields.salt)
    };
    let offset = block * BLOCK;
    let seed = Seed::new(log_id, salt, offset as u64);
    let header = Header {
        payload_len: 0,
        entry_count: u.arbitrary()?,
        group: u.arbitrary()?,
        first_seq: u.arbitrary()?,
        durable_seq: u.arbitrary()?,
        trim_seq: u.arbitrary()?,
        seal: u.arbitrary()?,
        lost: u.arbitrary()?,
    };
    let damages = u.arbitrary::<u8>()? % 4;
    let damages = (0..damages)
        .map(|_| Ok((usize::from(u.arbitrary::<u16>()?), u.arbitrary::<u8>()?)))
        .collect::<Result<Vec<_>>>()?;
    let payload = u.take_rest();
    let payload = &payload[..payload.len().min(1024)];
    forge_frame(&mut segment, offset, header, payload);
    let range = offset..offset + HEADER_BYTES + payload.len();
    let original = segment[range.clone()].to_vec();
    if let Some((decoded, checksum)) = Header::decode(seed, &segment[offset..]) {
        assert_eq!(
            Header {
                payload_len: 0,
                ..decoded
            },
            header
        );
        assert_eq!(decoded.payload_len as usize, payload.len());
        assert!(decoded.durable_seq <= decoded.first_seq && decoded.first_seq <= decoded.end_seq());
        payload_is_valid(seed, &decoded, checksum, payload);
        // Elsewhere it is nothing.
        let elsewhere = Seed::new(log_id, salt, offset as u64 + BLOCK as u64);
        assert!(Header::decode(elsewhere, &segment[offset..]).is_none());
        assert!(Header::decode(Seed::new(log_id, !salt, offset as u64), &original).is_none());
    }
    for (at, mask) in damages {
        let at = offset + at % original.len();
        segment[at] ^= mask;
    }
    let damaged = &segment[range];
    if damaged != original
        && let Some((decoded, checksum)) = Header::decode(seed, damaged)
    {
        let same_header = damaged[..HEADER_BYTES] == original[..HEADER_BYTES];
        assert!(same_header, "a damaged header validates");
        assert!(!payload_is_valid(
            seed,
            &decoded,
            checksum,
            &damaged[HEADER_BYTES..]
        ));
    }
    Ok(())
}
