//! A simulated file system that is mounted: any program runs on it, and it knows what is durable.
//!
//! FUSE asks this process for whatever the kernel cannot answer from its caches. From the bottom to the top:
//! `marks` are the announcements around each act; `live` is the file system as programs see it, whose past is
//! told in acts; `failing` lets requests fail; `operations` are what requests do to it; `shared` is what threads share; `later` answers what
//! has to wait; `requests` is the kernel's side; `mounted` mounts it and takes it down.

mod answers;
mod convert;
mod failing;
mod later;
mod listing;
mod live;
mod marks;
mod mounted;
mod operations;
mod probe;
mod requests;
mod shared;
mod times;
mod writes;

pub(crate) use live::Lived;
pub(crate) use mounted::Mounted;
pub(crate) use probe::{available, site};
pub(crate) use shared::Shared;
