//! What the benches share. Each uses its own part of it.
//!
//! A disk's speed drifts by a quarter from minute to minute, so two figures that were taken one after
//! the other say little about each other. Contestants take turns, round by round, and what is compared
//! are medians over all rounds of one run.
#![allow(dead_code, unused_imports)]

pub(crate) mod article;
pub(crate) mod bare;
pub(crate) mod closed_loop;
mod engine;
mod figures;
pub(crate) mod floor;
pub(crate) mod group_wal;
pub(crate) mod log_image;
mod machine;
#[path = "../../tests/support/mem.rs"]
#[allow(unreachable_pub)]
mod mem;
mod place;
mod report;
pub(crate) mod workload;

pub(crate) use engine::Engine;
pub(crate) use figures::{median, quantile};
pub(crate) use machine::{is_measuring, processor_time, runtime};
pub(crate) use place::Place;
pub(crate) use report::{Report, Row};
