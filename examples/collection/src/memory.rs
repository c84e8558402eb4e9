//! The operations that are not in a segment file yet, in memory.

use std::collections::BTreeMap;

use crate::row::{Key, Row};

/// What a row takes beside its vector, in bytes: a map filled in order is about half empty.
const ROW_BYTES: usize = 96;

/// An operation, taken from the log.
#[derive(Debug)]
pub(crate) enum Operation {
    Insert {
        docs: Vec<u128>,
        users: Vec<u128>,
        /// One vector after another.
        vectors: Box<[f32]>,
    },
    Remove {
        docs: Vec<u128>,
        users: Vec<u128>,
    },
}

impl Operation {
    pub(crate) fn rows(&self) -> usize {
        let (Self::Insert { docs, users, .. } | Self::Remove { docs, users }) = self;
        docs.len() * users.len()
    }

    /// What it adds to a [`Memory`], in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let vectors = match self {
            Self::Insert { vectors, .. } => size_of_val::<[f32]>(vectors),
            Self::Remove { .. } => 0,
        };
        vectors + self.rows() * ROW_BYTES
    }
}

/// The newest rows: for each user and document, the last operation's word.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    dimension: usize,
    /// `None`: removed.
    rows: BTreeMap<Key, Option<Place>>,
    /// Vectors of one insert each; those that have been replaced stay until the flush.
    vectors: Vec<Box<[f32]>>,
    vector_bytes: usize,
}

/// Which vector of which insert.
#[derive(Clone, Copy, Debug)]
struct Place {
    insert: u32,
    index: u32,
}

impl Memory {
    pub(crate) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            ..Self::default()
        }
    }

    /// The whole operation. The caller holds whatever keeps readers out, so that they see all of it or
    /// nothing.
    pub(crate) fn apply(&mut self, operation: Operation) {
        let (docs, users, insert) = match operation {
            Operation::Insert {
                docs,
                users,
                vectors,
            } => {
                self.vector_bytes += size_of_val::<[f32]>(&vectors);
                self.vectors.push(vectors);
                let insert = u32::try_from(self.vectors.len() - 1).expect("flushed long before");
                (docs, users, Some(insert))
            }
            Operation::Remove { docs, users } => (docs, users, None),
        };
        for user in users {
            for (doc, index) in docs.iter().zip(0..) {
                let place = insert.map(|insert| Place { insert, index });
                self.rows.insert(Key { user, doc: *doc }, place);
            }
        }
    }

    /// What it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let inserts = self.vectors.len() * size_of::<Box<[f32]>>();
        self.vector_bytes + inserts + self.rows.len() * ROW_BYTES
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is anything but removals.
    pub(crate) fn has_vectors(&self) -> bool {
        !self.vectors.is_empty()
    }

    /// All rows, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(key, place)| self.row(*key, *place))
    }

    /// A user's rows, in the order of documents.
    pub(crate) fn rows_of(&self, user: u128) -> impl Iterator<Item = Row<'_>> {
        let rows = self.rows.range(Key::all_of(user));
        rows.map(|(key, place)| self.row(*key, *place))
    }

    fn row(&self, key: Key, place: Option<Place>) -> Row<'_> {
        let vector = place.map(|Place { insert, index }| {
            let start = index as usize * self.dimension;
            &self.vectors[insert as usize][start..start + self.dimension]
        });
        Row { key, vector }
    }
}
