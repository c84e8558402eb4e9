//! What tests on real files and of whole processes share.
//!
//! Each test binary uses its own part of it.
#![allow(dead_code, unreachable_pub)]

pub mod alone;
pub mod cgroup;
pub mod os;
