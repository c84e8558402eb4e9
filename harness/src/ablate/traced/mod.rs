//! Unmodified programs: syncs are left out of the model of what was recorded, and nothing is run again.

mod chain;
mod explore;
mod found;
mod rounds;
mod site;
mod study;

pub(super) use study::run;
