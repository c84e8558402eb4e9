//! A torture that is ended before its end, or that cannot do all of its work: what it says, its exit
//! status, and what it leaves behind, which is nothing.

mod ended;
mod environment;
mod failures;
mod replaced;
mod victim;
#[path = "../wait/mod.rs"]
mod wait;
