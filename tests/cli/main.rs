//! The program `groupwal` as its users meet it.

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod crash;
mod damaged;
mod descriptors;
mod imported;
#[cfg(target_os = "linux")]
mod limits;
mod looking;
mod missing;
mod muop;
#[cfg(target_os = "linux")]
mod namespaces;
mod program;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod stall;
mod trimmed;
