//! A store recovers what is on an image: and what the harness's own disk does to it on the way is no failure
//! of the store.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use crate::disk::{self, Examiner, FileSystem, Image, is_mount_refused, ran_out};
use crate::oracle::Violation;
use crate::store::{Recovered, Store};

/// The store's directory in the file system.
pub(crate) const STORE: &str = "store";

/// A recovery of what is on an image.
pub(crate) struct OnImage<'i> {
    pub(crate) image: &'i Image,
    pub(crate) close: bool,
    /// Record what is written from before the mount to after the unmount.
    pub(crate) record: bool,
}

impl OnImage<'_> {
    /// Recovers, and shows what the recovery showed. `None` if the kernel does not mount the image.
    ///
    /// A file that the store's process has left open is no failure of a recovery: then the process ends.
    ///
    /// # Errors
    /// If the machine fails, or the disk that the store was given is full.
    pub(crate) fn recover(
        &self,
        examiner: &mut Examiner,
        store: &mut dyn Store,
    ) -> io::Result<Option<(Recovered, Option<disk::Recording>)>> {
        let file_system = examiner.file_system().clone();
        let store = RefCell::new(store);
        let look = |mounted: &Path| {
            let dir = mounted.join(STORE);
            let recovered = store.borrow_mut().recover(&dir, self.close)?;
            if let Err(violation) = &recovered {
                see_room(&file_system, mounted, violation)?;
            }
            io::Result::Ok(recovered.map_err(|violation| violation.without_dir(&dir)))
        };
        let let_go = || store.borrow_mut().release();
        let (recovered, recording) = match examiner.visit(self.image, self.record, look, let_go) {
            Ok((recovered, recording)) => (recovered?, recording),
            Err(error) if is_mount_refused(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if recovered.is_err() {
            examiner.check()?;
        }
        Ok(Some((recovered, recording)))
    }
}

/// Looks whether a store that broke had room.
///
/// # Errors
/// If it had not.
pub(super) fn see_room(
    file_system: &FileSystem,
    mounted: &Path,
    violation: &Violation,
) -> io::Result<()> {
    match violation {
        Violation::Broken { stage, detail } => {
            let words = format!("{stage}: {detail}");
            ran_out(file_system, mounted, &words).map_or(Ok(()), Err)
        }
        _ => Ok(()),
    }
}
