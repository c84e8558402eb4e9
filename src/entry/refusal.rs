//! Why bytes are not an entry.

/// Why bytes are not an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the entry does.
    #[error("the entry is cut short")]
    Truncated,
    /// The kind byte is none of the known ones.
    #[error("unknown entry kind {0:#04x}")]
    UnknownKind(u8),
    /// The operation byte is none of the known ones.
    #[error("unknown operation {0:#04x}")]
    UnknownOp(u8),
    /// The vector data does not fit the number of documents.
    #[error("the vector data does not fit the documents")]
    VectorsMisfit,
}
