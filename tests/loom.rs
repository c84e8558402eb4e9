//! The write groups, model-checked: every interleaving of a few members, a disk and a clock.
//!
//! `src/group.rs` is compiled here a second time, beside a `sync` module that hands out loom's
//! types, so that the models run the very source that ships, the append future's `poll` and `Drop`
//! included. Each model is a scene of two or three threads, and its name is the sentence it proves.
//!
//! What the models take for granted: wakers and timers that keep their promises, and hosts that
//! bring a flush to its end or drop it. What they leave out: real disks, and Tokio.
//!
//! - **A lost wake-up is a deadlock.** A [`Task`](task::Task) is polled again only when it has been
//!   woken, and its thread is parked until then; loom reports threads that are parked for good.
//! - **Every acknowledgement is checked** against what the disk had synced by then, and every write
//!   against the numbers and the groups before it: see [`Disk`](disk::Disk).
//! - **Two threads are explored exhaustively.** Models of three bound the preemptions, and say so.
//!
//! `cargo test --test loom -- --nocapture` shows how many interleavings there are;
//! `LOOM_LOCATION=1` makes a deadlock say where its threads are parked.

#[path = "loom/sync.rs"]
mod sync;

#[path = "../src/group.rs"]
mod group;

#[path = "../src/executor.rs"]
#[expect(unreachable_pub, reason = "public in the library")]
mod executor;

#[path = "loom/disk.rs"]
mod disk;
#[path = "loom/fragile.rs"]
mod fragile;
#[path = "loom/task.rs"]
mod task;
#[path = "loom/world.rs"]
mod world;

#[path = "loom/closing.rs"]
mod closing;
#[path = "loom/crowds.rs"]
mod crowds;
#[path = "loom/dropped.rs"]
mod dropped;
#[path = "loom/failures.rs"]
mod failures;
#[path = "loom/groups.rs"]
mod groups;
#[path = "loom/handover.rs"]
mod handover;
#[path = "loom/room.rs"]
mod room;
#[path = "loom/timeouts.rs"]
mod timeouts;
#[path = "loom/turns.rs"]
mod turns;
