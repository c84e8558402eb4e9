//! What the collection and its server promise, one file a promise.

mod damage;
mod disk;
mod failures;
mod flushes;
mod gate;
mod ingestion;
mod input;
mod model;
mod serving;
mod stage;
