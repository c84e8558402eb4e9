//! What a tracer reports, and what it is answered.

use std::io;
use std::ops::ControlFlow;

use super::call::{Call, Durability, Kind};

/// What is told of every call that touches the directory.
///
/// Of all threads and processes of the child, at most one is inside such a call at a time: the
/// others are held at its beginning, in order of arrival. So nothing in the directory changes while
/// a method runs, nor between the end of one call and the beginning of the next. The exceptions may
/// have to wait for another thread: [`Kind::IoUring`](super::Kind::IoUring), and `splice` from a
/// pipe. The child's other threads run on, up to their next such call: what they share with the
/// harness may change, so read it before the directory.
///
/// If a method panics, the child is killed and [`Tracer::run`](super::Tracer::run) panics.
pub trait Observer {
    /// A call is about to begin.
    fn before(&mut self, call: &Call) -> Decision;

    /// A call has ended; `Break` kills the child here, before it can learn of that. A call that a
    /// signal interrupted ends with an error (number 512 to 516 if the kernel will restart it,
    /// which is a new call).
    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()>;

    /// A call is about to work on a file, by device and inode number, that it names by a path elsewhere. The
    /// answer says whether the directory has the file, too: then the call is reported.
    ///
    /// A file that is mapped, written or synced by a name elsewhere may get a name in the directory later.
    fn holds(&mut self, _: Kind, _: (u64, u64), _: Option<Durability>) -> bool {
        false
    }

    /// The thread was killed in a call, by the program itself: another process sent a signal, or another
    /// thread of the process exited or became another program. The call may have been carried out, in part
    /// or as a whole. `after` is not called for it.
    fn broken_off(&mut self, _: &Call) {}
}

/// What happens to the call, and to the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call is carried out.
    Continue,
    /// It is not carried out: the program gets this error (an errno of at most 511, for the kernel restarts
    /// calls that end with a larger one), and `after` is told the same.
    ///
    /// The run fails if there is no such error.
    Answer(i32),
    /// At most this number of bytes is written, and the program gets a short count. If a file is open with
    /// `O_DIRECT`, the kernel may refuse a part of a block.
    ///
    /// The run fails if [`Call::can_shorten`] is false or the call is not that long.
    Shorten(u64),
    /// The child is killed before it.
    Kill,
    /// Only so many bytes are written, then the child is killed: a crash inside a write. `after` is
    /// told what came of it (a file that is open with `O_DIRECT` takes whole blocks only), and the
    /// run ends whatever it answers.
    ///
    /// The run fails if [`Call::can_shorten`] is false or the call is not that long.
    ShortenThenKill(u64),
}
