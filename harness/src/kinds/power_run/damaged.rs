//! What a store makes of damaged bytes.

use std::io;
use std::path::Path;

use crate::history::Event;
use crate::oracle::Violation;
use crate::scratch::remove_dir;
use crate::sim::Disk;
use crate::store::{Damaged, Store};
use crate::survivor::Survivor;

/// What a story says of a failure in damaged bytes.
pub(super) const INTACT_KEEPS_ITS_PROMISES: &str =
    "Control: the same crash state without the damage breaks no promise.\n";

/// What a store did with damaged bytes, all of it in order.
pub(super) enum Decayed {
    /// It served this number of entries, among them all that it must.
    Served(usize),
    /// It refused.
    Refused,
    /// It lost entries, and served nothing that is wrong.
    Unprovable,
}

impl Decayed {
    /// Tells what came of it from what else could.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Served(_) => 0,
            Self::Refused => 1,
            Self::Unprovable => 2,
        }
    }
}

/// Lays damaged bytes out in a directory, recovers them and asks the oracle. Nothing vouches for what they
/// held: anything may be lost.
pub(super) fn examine_damaged(
    store: &mut dyn Store,
    dir: &Path,
    disk: &Disk,
    events: &[Event],
) -> io::Result<Result<Decayed, Violation>> {
    remove_dir(dir)?;
    disk.lay_out(dir)?;
    let survivors = match store.recover_damaged(dir)? {
        Damaged::Served(survivors) => survivors,
        Damaged::Refused => return Ok(Ok(Decayed::Refused)),
        Damaged::Broken(violation) => return Ok(Err(violation.without_dir(dir))),
    };
    if store.check(events, &survivors).is_ok() {
        return Ok(Ok(Decayed::Served(Survivor::entries(&survivors).0.len())));
    }
    let checked = store.check_damaged(events, &survivors);
    Ok(checked.map(|()| Decayed::Unprovable))
}
