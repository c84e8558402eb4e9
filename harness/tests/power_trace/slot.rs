//! One slot of a log: checksum, length and payload, so that a torn one is no entry.

use twox_hash::XxHash3_64;

fn checksum(slot: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(1, &slot[8..])
}

/// Puts a payload into a slot.
pub(crate) fn fill(slot: &mut [u8], payload: &[u8]) {
    slot.fill(0);
    slot[16..][..payload.len()].copy_from_slice(payload);
    slot[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let sum = checksum(slot);
    slot[..8].copy_from_slice(&sum.to_le_bytes());
}

/// `None`: the slot is not whole.
fn payload(slot: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = slot.split_first_chunk::<8>()?;
    let (len, payload) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let is_whole = u64::from_le_bytes(*sum) == checksum(slot);
    payload.get(..len).filter(|_| is_whole)
}

/// The payloads of the slots before the first one that is not whole.
pub(crate) fn payloads(log: &[u8], slot_bytes: usize) -> impl Iterator<Item = &[u8]> {
    log.chunks_exact(slot_bytes).map_while(payload)
}
