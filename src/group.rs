//! Write groups: who leads, who follows, who waits, and what each of them learns.
//!
//! A state machine behind one Mutex, with Wakers. It does no I/O, reads no clock and knows no
//! runtime: the log is its [`Host`]. `tests/loom.rs` compiles these files against loom's types and
//! explores its interleavings, so it names nothing but `crate::sync` and core, and it holds the
//! append future's poll *and* Drop: models drop what users drop.
//!
//! # The way of an append
//!
//! ```text
//!            no room                 room               group taken             outcome
//! Member ──────────────▶ Queued ──────────▶ Granted
//!    │                                         │ polled
//!    └────────── room ────────────────▶ Joined ◀┘ ──────▶ (in flight) ──────▶ Done
//! ```
//!
//! A member *joins* the forming group by encoding its entries into the group's buffer. A group that
//! is *due* is *taken* by whoever notices first when no flush is in flight: a member that is
//! polled, or the flush before it as it ends. The taker owns a [`Flush`], which lives in no
//! member's future; dropping any member therefore loses, delays and fails nobody else.
//!
//! # Who is responsible
//!
//! The forming group's *first live member* is responsible for it: it holds the timer, and it is
//! woken when the group should go and nobody else is there to take it. Members stand in a linked
//! list, so when the first one is dropped the next is first, and is woken to take over.
//!
//! The invariant, true whenever the lock is free: if a group may go (`State::may_go`), somebody
//! who can take it has been woken and not been polled since.
//!
//! # The turn between two groups
//!
//! Whoever ended a group with company may keep the *turn* ([`Turn`]) for a moment: no group goes
//! meanwhile, so that the members just woken can join the next one, instead of finding it gone and
//! halving every group after it. A turn that is given back, used or dropped restores the
//! invariant. It binds only those who live where it is held: a runtime that nobody drives any
//! more must not hold up the members on another, so they lead over its head.
//!
//! # A race that cannot happen: two leaders for one group
//!
//! ```text
//! member that fills group 7            member whose timer fires
//! joins, group is full, takes 7
//!                                      locks, sees that group 8 is forming
//! owns Flush 7                         its expiry names group 7: nothing to do
//! ```
//!
//! Without the group's number the second one would take group 8 before its time, or group 7 twice.

// Named by path, so that the loom models find the same files.
#[path = "group/flush.rs"]
mod flush;
#[path = "group/host.rs"]
mod host;
#[path = "group/member.rs"]
mod member;
#[path = "group/shared.rs"]
mod shared;
#[path = "group/slots.rs"]
mod slots;
#[path = "group/state.rs"]
mod state;
#[path = "group/terms.rs"]
mod terms;
#[path = "group/wakes.rs"]
mod wakes;

pub(crate) use self::flush::{Flush, Next, Turn};
pub(crate) use self::host::{Host, Timer};
pub(crate) use self::member::{Lead, Member};
pub(crate) use self::shared::Group;
pub(crate) use self::terms::{Ask, Limits, Outcome, Pace, Refusal, Room};
