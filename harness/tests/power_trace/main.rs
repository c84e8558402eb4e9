//! Power loss, failing disks and rot under trace, of programs that know nothing of it: a correct one passes, and its guilty twin,
//! which differs in one sync, is caught.

mod acknowledged;
mod appends;
mod case;
mod elsewhere;
mod faults;
mod lives;
mod mapped;
mod names;
mod processes;
mod recorder;
mod refused;
mod rot;
mod slot;
mod undo;
