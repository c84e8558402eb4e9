//! Programs as users write them with the files of `examples/protocol`: logs in several languages, and daemons, with
//! their ports, sockets and users. Each has a naive twin, which must be caught.

mod languages;
mod owners;
mod ports;
mod sockets;
mod torture;
#[path = "../wait/mod.rs"]
mod wait;
