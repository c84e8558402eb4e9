//! How a torture tells what it does and finds: for people, and for programs.

mod json;
mod ledger;
mod merge;
mod reporter;
mod row;
mod summary;
mod terminal;
mod verdict;

pub(crate) use json::Json;
pub(crate) use ledger::Ledger;
pub(crate) use merge::Merged;
pub(crate) use reporter::{Progress, Reporter, Silent};
pub(crate) use row::case_name;
pub use row::{Coverage, Row, SavedFailure};
pub(crate) use terminal::Terminal;
pub(crate) use verdict::{Closing, Verdict, exit_status_of};
