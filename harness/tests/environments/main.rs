//! Strange machines: each is made for real, in namespaces of its own, and a small store is tortured there.
//! Either that works, or it ends with status 2 and a sentence that says what is missing and what to do,
//! and `doctor` says the same. It never ends with a violation, a panic or not at all.
//!
//! Each test prints a line for each machine; `docs/environments.md` is the table of them.

mod devices;
mod limits;
mod namespaces;
mod place;
mod rights;
