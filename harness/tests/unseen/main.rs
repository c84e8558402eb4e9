//! What changes a directory without a call that a tracer could hold: stores to shared mappings, clones of
//! files, asynchronous I/O. A correct store must pass, and a guilty one must be caught.

mod asynchronous;
mod clones;
mod files;
mod mapped;
mod verdict;
