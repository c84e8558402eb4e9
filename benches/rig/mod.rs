//! What the benches share. Each uses its own part of it.
//!
//! A disk's speed drifts by a quarter from minute to minute, so two figures that were taken one after
//! the other say little about each other. Contestants take turns, round by round, and what is compared
//! are medians over all rounds of one run.
#![allow(dead_code, unused_imports)]

pub(crate) mod article;
pub(crate) mod bare;
pub(crate) mod closed_loop;
pub(crate) mod floor;
pub(crate) mod log_image;
#[path = "../../tests/support/mem.rs"]
#[allow(unreachable_pub)]
mod mem;
mod place;
mod report;
pub(crate) mod workload;

use std::str::FromStr;
use std::time::Duration;

use groupwal::EngineKind;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::runtime::{Builder, Runtime};

pub(crate) use place::Place;
pub(crate) use report::{Report, Row};

/// As many workers everywhere, so that figures compare.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Whether Cargo measures; otherwise it only wants to know that the bench runs.
pub(crate) fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// An engine by its name on the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) kind: EngineKind,
}

/// Every engine there is.
const ENGINES: &[Engine] = &[
    Engine {
        name: "auto",
        kind: EngineKind::Auto,
    },
    Engine {
        name: "blocking",
        kind: EngineKind::Blocking,
    },
    Engine {
        name: "inline",
        kind: EngineKind::Inline,
    },
    Engine {
        name: "uring",
        kind: EngineKind::Uring,
    },
];

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let engine = ENGINES.iter().find(|engine| engine.name == name);
        let names: Vec<_> = ENGINES.iter().map(|engine| engine.name).collect();
        engine
            .copied()
            .ok_or_else(|| format!("there is none; there are {}", names.join(", ")))
    }
}

/// Processor time that this process has used, in user and kernel mode.
pub(crate) fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own");
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).expect("not negative"))
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// The value below which `share` of them lie; zero if there are none.
pub(crate) fn quantile<T: Copy + Ord + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into the slice"
    )]
    let index = (last * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle one of a few figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
