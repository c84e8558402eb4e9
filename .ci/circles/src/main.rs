//! Fails when files of this repository import each other in a circle.
//!
//! ```text
//! cargo run --manifest-path .ci/circles/Cargo.toml -- [DIR]
//! ```
//!
//! A file imports another if a path in it leads to an item that the other file *defines*. A face,
//! which only declares modules and re-exports their items, defines nothing: an import from it is an
//! import from the file behind it. So a face may name its children, and its children may name each
//! other through it, in one direction. `mod child;` is an import of the child as well, therefore a
//! child that uses an item of its parent's file makes a circle.
//!
//! `#[cfg]` is not evaluated: everything counts. A path that leads into another package does not,
//! because cargo forbids circles there.
//!
//! # What it does not see
//! Calls of inherent and trait methods, which need no import. Names in format strings and in
//! patterns that come through a glob. Macros that are visible by their place in the text only.
//! Items that a macro makes under a name that does not stand behind `struct`, `fn` and the like.
//!
//! Exit status: 0 without circles, 1 with some, 2 if the tree cannot be read.

mod files;
mod packages;
mod resolve;
mod source;
mod tokens;
mod tree;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use files::{Circle, Imports};
use resolve::Resolver;
use tree::Tree;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let dir = arguments.next();
    if arguments.next().is_some() || dir.as_ref().is_some_and(|dir| !dir.is_dir()) {
        eprintln!("usage: circles [DIR]");
        return ExitCode::from(2);
    }
    // `.ci/circles` stands two folders below the top.
    let dir = dir.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    match circles(&dir) {
        Ok(circles) if circles.is_empty() => ExitCode::SUCCESS,
        Ok(circles) => {
            for circle in &circles {
                println!("{circle}");
            }
            eprintln!("{} circles of imports", circles.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn circles(dir: &Path) -> Result<Vec<Circle>, String> {
    let dir = fs::canonicalize(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut imports = Imports::default();
    for root in packages::roots(&dir)? {
        let tree = Tree::read(&root)?;
        imports.add(&Resolver::new(&tree), &dir);
    }
    Ok(imports.circles())
}
