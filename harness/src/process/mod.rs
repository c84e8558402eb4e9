//! Child processes: this program started again, with an order in its environment.
//!
//! A torture binary finds the order at the start of its `main`. In a test, the same test is started
//! again by its name; it runs until it reaches its torture, which finds the order.
//!
//! This layer knows no store and no crash kind: what a child can be told to do is a [`Role`], and
//! roles are registered by the layers above.

mod checker;
mod ending;
mod keeper;
mod kept;
mod launcher;
mod limits;
mod line;
mod order;
mod patience;
mod probe;
mod procfs;
mod running;
mod start;
mod stopwatch;
mod strays;

pub(crate) use checker::{Checker, Unanswered, answer};
pub(crate) use ending::{Ended, process_of};
pub(crate) use keeper::{COMMAND, CommandTask, KEEPER, become_command, carry_out_keeper, quoted};
pub(crate) use launcher::Launcher;
pub(crate) use limits::{limit_in, limits_set, limits_suffice};
pub(crate) use order::{Failed, Obeyed, Order, Role, Roles, exit, has_order};
pub(crate) use patience::{HarnessTime, Patience};
pub(crate) use probe::{
    PROBE, available, available_traced, carry_out_probe, commands_can_run, ptrace_scope,
};
pub(crate) use procfs::proc_is_ours;
pub(crate) use start::start;
pub(crate) use strays::end_strays;
