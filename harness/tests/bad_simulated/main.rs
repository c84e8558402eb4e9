//! A store on the simulated file system that makes one mistake at a time: each is caught, by the crash
//! kind that is for it, under the rule that it breaks. Without a mistake the store passes.

#[path = "../../examples/kv_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod kv_store;

mod again;
mod caught;
mod ends;
mod entry;
mod fault;
mod known;
mod log;
mod mistake;
mod power;
mod rot;
mod rows;
mod store;
