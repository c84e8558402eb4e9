//! tantivy, a search engine: one commit a write; a document has a key and a stored value.
//!
//! Promise: "After it returns, all of the document that were added since the last commit are published and persisted. In
//! case of a crash or an hardware failure (as long as the hard disk is spared), it will be possible to resume indexing
//! from this point" (`IndexWriter::commit`, <https://docs.rs/tantivy/0.27>). It has no weaker mode.

use std::path::Path;
use std::sync::Mutex;

use plugpull::SubjectError;
use tantivy::collector::DocSetCollector;
use tantivy::directory::MmapDirectory;
use tantivy::query::AllQuery;
use tantivy::schema::{Field, INDEXED, STORED, Schema, Value};
use tantivy::{Index, IndexWriter, TantivyDocument, Term};

use crate::key_value::KeyValue;
use crate::neighbour::Neighbour;
use crate::turns::{into_inner, lock};

pub(super) fn subjects() -> Vec<Neighbour> {
    vec![Neighbour::key_value("tantivy", Store::open)]
}

/// The least that tantivy accepts for a thread.
const ARENA_BYTES: usize = 15_000_000;

struct Store {
    index: Index,
    writer: Mutex<IndexWriter>,
    key: Field,
    value: Field,
}

impl Store {
    fn open(dir: &Path) -> Result<Self, SubjectError> {
        let mut schema = Schema::builder();
        let key = schema.add_u64_field("key", INDEXED | STORED);
        let value = schema.add_bytes_field("value", STORED);
        let index = Index::open_or_create(MmapDirectory::open(dir)?, schema.build())?;
        let writer = Mutex::new(index.writer_with_num_threads(1, ARENA_BYTES)?);
        Ok(Self {
            index,
            writer,
            key,
            value,
        })
    }
}

impl KeyValue for Store {
    const OUTLIVES_DROP: bool = true;

    fn set(&self, key: u64, value: Option<&[u8]>) -> Result<(), SubjectError> {
        let mut writer = lock(&self.writer);
        writer.delete_term(Term::from_field_u64(self.key, key));
        if let Some(value) = value {
            let mut document = TantivyDocument::new();
            document.add_u64(self.key, key);
            document.add_bytes(self.value, value);
            writer.add_document(document)?;
        }
        writer.commit()?;
        Ok(())
    }

    fn for_each(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), SubjectError> {
        let searcher = self.index.reader()?.searcher();
        for address in searcher.search(&AllQuery, &DocSetCollector)? {
            let document: TantivyDocument = searcher.doc(address)?;
            let (key, value) = (document.get_first(self.key), document.get_first(self.value));
            let key = key.and_then(|key| key.as_u64()).ok_or("no key")?;
            let value = value.as_ref().and_then(Value::as_bytes).ok_or("no value")?;
            visit(key, value);
        }
        Ok(())
    }

    fn close(self) -> Result<(), SubjectError> {
        Ok(into_inner(self.writer).wait_merging_threads()?)
    }
}
