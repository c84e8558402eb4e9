//! The reporter that was asked for.

use crate::report::{Json, Reporter, Terminal};

pub(super) fn reporter(json: bool) -> Box<dyn Reporter> {
    if json {
        Box::new(Json)
    } else {
        Box::new(Terminal::default())
    }
}
