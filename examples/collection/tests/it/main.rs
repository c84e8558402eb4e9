//! What the collection and its server promise, one file a promise.

mod damage;
mod disk;
mod failures;
mod flushes;
mod gate;
mod ingestion;
mod input;
mod model;
mod own_files;
mod own_log;
mod process;
mod serving;
mod stage;
