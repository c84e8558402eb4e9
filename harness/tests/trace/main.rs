//! The tracer: what it reports is what happens, and what a stop shows is what a kill leaves.
//!
//! The children are these same tests, started again by their names.

mod answered;
mod children;
mod ends;
mod followed;
mod gate;
mod reported;
mod shortened;
mod traced;
