//! What a call returned.

use std::fmt::Debug;
use std::io;

/// What a call returned: a value in words, or an error's kind and number.
pub(crate) type Told = Result<String, (io::ErrorKind, Option<i32>)>;

pub(crate) fn told<T: Debug>(result: io::Result<T>) -> Told {
    result
        .map(|value| format!("{value:?}"))
        .map_err(|error| (error.kind(), error.raw_os_error()))
}
