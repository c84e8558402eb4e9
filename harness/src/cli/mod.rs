//! A torture binary in three lines.

mod args;
mod choose;
mod completions;
mod dispatch;
mod list;
mod merge;
mod replay;
mod reporter;
mod run;
mod seed;
mod shrink;
mod signal;

pub use dispatch::{main, main_with};
