//! What programs keep in their directories besides plain files: special files, links, private modes,
//! attributes, owners, holes, files that come and go.
//!
//! Each case is a correct program that must pass, and its guilty twin: the same program with a bug,
//! which must be caught. Writers and checkers are Perl, which every Debian has.

mod case;
mod commits;
mod metadata;
mod nodes;
mod processes;
mod scripts;
