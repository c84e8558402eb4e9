//! What the stories of several crash kinds have in common: the lives before the failed one, what recovery
//! shows of what had been promised, and the files that a crash left.

mod announced;
mod files;
mod missing;
mod past;
mod recovered;

pub(super) use announced::Announcements;
pub(super) use files::files_in;
pub(super) use past::{Past, PastLife};
pub(super) use recovered::{Broken, Promised};
