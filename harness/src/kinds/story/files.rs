//! The files of a crash image.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::tree::{Kind, walk};

/// Files told.
const TOLD: usize = 16;

/// What is in a directory, with the sizes of files, a line each.
///
/// # Errors
/// If it cannot be read.
pub(in crate::kinds) fn files_in(dir: &Path) -> io::Result<String> {
    let mut lines = Vec::new();
    walk(dir, &mut |found| {
        let what = match found.kind {
            Kind::File => format!("{} bytes", found.len),
            Kind::Dir => "a directory".to_owned(),
            _ => "no file of data".to_owned(),
        };
        lines.push(format!("    {}: {what}", found.name.display()));
        Ok(())
    })?;
    lines.sort_unstable();
    let mut told = String::new();
    if lines.is_empty() {
        told.push_str("    nothing\n");
    }
    for line in lines.iter().take(TOLD) {
        writeln!(told, "{line}").expect("a string takes everything");
    }
    if lines.len() > TOLD {
        let more = lines.len() - TOLD;
        writeln!(told, "    and {more} more").expect("a string takes everything");
    }
    Ok(told)
}
