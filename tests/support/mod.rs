//! What the tests share: a disk in memory, faults on top of it, and a few words for logs on it.
//!
//! Each test binary uses its own part of it.
#![allow(dead_code, unreachable_pub)]

pub mod fault;
pub mod image;
pub mod mem;
pub mod over;
pub mod tiny;
