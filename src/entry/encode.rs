//! What can be appended, and what it takes in a frame. Pure.

use crate::error::{Error, Kind, Result};

/// Kind byte of opaque bytes. Frozen.
pub(super) const KIND_BYTES: u8 = 0x02;
/// Kind byte and length field: what every entry costs beyond its body.
pub(crate) const PREFIX_BYTES: usize = 1 + 4;

/// What can be appended: [`Insert`](crate::Insert), [`Delete`](crate::Delete), or any bytes (`[u8]`, `Vec<u8>`, `str`, ...).
///
/// The trait is sealed: recovery must be able to decode whatever a log accepted, for ever, so the
/// kinds of entry are the log's to define. Bring your own serialization as bytes.
pub trait Encode: sealed::Sealed {}

pub(crate) mod sealed {
    use super::Result;

    pub trait Sealed {
        /// Length of the body in bytes, the length field not counted.
        ///
        /// # Errors
        /// If the parts do not fit each other; see [`Encode`](super::Encode).
        fn body_len(&self) -> Result<usize>;

        /// Writes kind, length and body to the front of `out`, which has room for them:
        /// [`super::PREFIX_BYTES`] + `body_len` bytes. Returns their number.
        ///
        /// The entry has been [checked](super::checked_len): its parts fit each other.
        fn encode(&self, out: &mut [u8]) -> usize;
    }
}
use sealed::Sealed;

/// Checks an entry and its size against `entry_bytes_max`, and returns what it takes in a frame, in
/// bytes.
///
/// # Errors
/// If its parts do not fit each other or its body is larger than the limit.
pub(crate) fn checked_len<E: Sealed + ?Sized>(entry: &E, entry_bytes_max: usize) -> Result<usize> {
    let len = entry.body_len()?;
    if len > entry_bytes_max {
        let message = format!(
            "it is {len} bytes long, the limit is {entry_bytes_max} (Options::entry_bytes_max)"
        );
        return Err(Error::new(Kind::InvalidEntry(message)));
    }
    Ok(PREFIX_BYTES + len)
}

/// Writes kind and length to the front of `out`, and hands the `body_len` bytes behind them to
/// `fill`. Returns the number of bytes of all three.
pub(super) fn encode_with(
    kind: u8,
    body_len: usize,
    out: &mut [u8],
    fill: impl FnOnce(&mut [u8]),
) -> usize {
    let (prefix, rest) = out.split_at_mut(PREFIX_BYTES);
    let len = u32::try_from(body_len).expect("an entry's size is checked against a u32 limit");
    prefix[0] = kind;
    prefix[1..].copy_from_slice(&len.to_le_bytes());
    fill(&mut rest[..body_len]);
    PREFIX_BYTES + body_len
}

impl Encode for [u8] {}
impl Sealed for [u8] {
    fn body_len(&self) -> Result<usize> {
        Ok(self.len())
    }

    fn encode(&self, out: &mut [u8]) -> usize {
        encode_with(KIND_BYTES, self.len(), out, |body| {
            body.copy_from_slice(self);
        })
    }
}

/// Types that are appended as what they borrow or hold.
macro_rules! encode_as {
    ($([$($param:tt)*] $type:ty => |$this:ident| $target:expr;)*) => {$(
        impl<$($param)*> Encode for $type {}
        impl<$($param)*> Sealed for $type {
            fn body_len(&self) -> Result<usize> {
                let $this = self;
                $target.body_len()
            }

            fn encode(&self, out: &mut [u8]) -> usize {
                let $this = self;
                $target.encode(out)
            }
        }
    )*};
}

encode_as! {
    [const N: usize] [u8; N] => |this| this.as_slice();
    [] Vec<u8> => |this| this.as_slice();
    [] str => |this| this.as_bytes();
    [] String => |this| this.as_bytes();
    [T: Encode + ?Sized] &T => |this| (**this);
    [T: Encode + ?Sized] Box<T> => |this| (**this);
}
