//! One entry: what an append makes durable. Pure: bytes in, bytes out.
//!
//! # Layout
//!
//! All integers are little-endian. In a frame, each entry stands behind one byte that tells its
//! kind:
//!
//! ```text
//! kind  body
//! 0x01  documents: the layout of the article's database, byte for byte
//! 0x02  opaque bytes
//!
//! documents  u32 len | u64 n_docs | u64 n_users | n_docs x u128 | n_users x u128 | f32... | u8 op
//! opaque     u32 len | len bytes
//! ```
//!
//! `len` does not count its own four bytes. `op` is 0 for an insert, 1 for a delete; a delete
//! carries no vector data. Document ids come before user ids, as MuopDB writes them. These
//! layouts are frozen.
//!
//! Decoding borrows from its input, never panics and allocates nothing.

mod decoded;
mod documents;
mod encode;
mod refusal;

pub(crate) use self::decoded::decode_again;
pub use self::decoded::{Entry, decode};
pub use self::documents::{Delete, Documents, Insert, Op};
pub use self::encode::Encode;
pub(crate) use self::encode::{PREFIX_BYTES, checked_len, sealed};
pub use self::refusal::DecodeError;
