//! Segments that were trimmed: taken away, and their files kept to be made into new ones.

use std::io;
use std::path::PathBuf;

use super::files::{Files, Named};
use crate::error::{Error, Result};
use crate::frame::POSITION_MAX;
use crate::names::{Listing, segment_name, spare_name};
use crate::segment::{Segment, SegmentHeader};
use crate::spare::Spare;
use crate::storage::StorageFile;
use crate::sync::{Arc, lock};

/// How much of a removed file is given back at once. ext4 takes a quarter of a millisecond for each
/// megabyte, and writers wait for its journal meanwhile.
const SHRINK_BYTES: u64 = 1 << 20;

/// The number of segments that are taken away between two syncs of the directory: all of them are
/// open then.
const RETIRED_AT_ONCE: usize = 16;

/// Files of segments that have lost their names.
#[derive(Default)]
struct Unnamed {
    recycled: Vec<Spare>,
    /// How long they are, and the files.
    removed: Vec<(u64, Arc<dyn StorageFile>)>,
}

impl Files {
    /// Takes trimmed segments away, oldest first: unlinked, or renamed to be recycled.
    ///
    /// A crash in the middle leaves some of them; recovery knows from the trim position that they
    /// may be gone.
    pub(crate) fn retire(&self, segments: Vec<Arc<Segment>>) -> Result<()> {
        let mut segments = segments.into_iter();
        while segments.len() > 0 {
            let batch = segments.by_ref().take(RETIRED_AT_ONCE);
            let mut gone = self.unname(batch)?;
            // Only when the old names are durably gone may their bytes be touched.
            self.sync()?;
            lock(&self.spares).free.append(&mut gone.recycled);
            for (mut len, file) in gone.removed {
                while len > 0 {
                    len = len.saturating_sub(SHRINK_BYTES);
                    file.shrink(len);
                }
            }
        }
        Ok(())
    }

    /// Takes the names of segments away. That is not durable yet.
    fn unname(&self, segments: impl Iterator<Item = Arc<Segment>>) -> Result<Unnamed> {
        self.check_lock()?;
        let mut gone = Unnamed::default();
        for segment in segments {
            let (path, header) = (segment.path.clone(), segment.header);
            match self.names(&segment)? {
                Named::Same => {}
                // What was to be done has been done.
                Named::Nothing => continue,
                Named::Other => {
                    return Err(Error::displaced(
                        path,
                        "another file has the segment's name",
                    ));
                }
            }
            let room = {
                let mut spares = lock(&self.spares);
                let spares_max = self.spares_max.max(usize::from(spares.is_needed));
                let room = spares.free.len() + gone.recycled.len() < spares_max;
                spares.next_number += u64::from(room);
                room.then_some(spares.next_number)
            };
            // A replay that still reads the file must not see it overwritten.
            let unread = Arc::try_unwrap(segment).ok();
            let file = unread.and_then(|segment| segment.file.awake().ok());
            let old_name = segment_name(header.segment_id);
            let remove = || {
                let removed = self.dir.remove(&old_name);
                removed.map_err(|error| Error::io("remove", &path, error))
            };
            match (room, file) {
                (Some(number), Some(file)) if file.try_lock().is_ok_and(|locked| locked) => {
                    let name = spare_name(number);
                    match self.dir.rename(&old_name, &name) {
                        Ok(()) => {
                            let path = self.path.join(&name);
                            gone.recycled.push(Spare { name, path, file });
                        }
                        // The new name may take a block of a full disk. Removing the old one frees some.
                        Err(error)
                            if [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]
                                .contains(&error.kind()) =>
                        {
                            remove()?;
                            gone.removed.push((header.segment_bytes, file));
                        }
                        Err(error) => return Err(Error::io("rename", &path, error)),
                    }
                }
                (_, Some(file)) => {
                    remove()?;
                    gone.removed.push((header.segment_bytes, file));
                }
                (_, None) => remove()?,
            }
        }
        Ok(gone)
    }

    /// Whether a spare file shows that there was a log whose first segment had its name: it was made
    /// for a later one.
    pub(crate) fn spare_of_a_log(&self, listing: &Listing) -> Result<Option<PathBuf>> {
        for number in &listing.spares {
            let name = spare_name(*number);
            let path = self.path.join(&name);
            let file = match self.dir.open_read_only(&name) {
                Ok(file) => file,
                Err(error) => return Err(Error::io("open", &path, error)),
            };
            if SegmentHeader::read(&*file).is_some_and(|header| header.segment_id > 0) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Keeps spare files of an earlier run, as many as are wanted, and removes the others.
    ///
    /// Only what has been a segment is kept, older than `oldest`, the oldest one there is: it had
    /// its final name once, so all of its length is durable. A file that was still being prepared may
    /// be short without showing it: after a failed sync its bytes are in the page cache alone, and
    /// the next sync would not write them.
    pub(crate) fn adopt_spares(
        &self,
        listing: &Listing,
        oldest: Option<&SegmentHeader>,
    ) -> Result<()> {
        for &number in &listing.spares {
            let name = spare_name(number);
            let path = self.path.join(&name);
            // No log gets to a higher number: the name was given by something else.
            let is_ours = number < POSITION_MAX;
            let mut spares = lock(&self.spares);
            if is_ours {
                spares.next_number = spares.next_number.max(number);
            }
            let wanted = is_ours && spares.free.len() < self.spares_max;
            let was_segment = |file: &Arc<dyn StorageFile>| {
                file.try_lock().is_ok_and(|locked| locked)
                    && SegmentHeader::read(&**file).is_some_and(|was| {
                        oldest.is_some_and(|oldest| {
                            was.log_id == oldest.log_id && was.segment_id < oldest.segment_id
                        })
                    })
            };
            let file = match self.dir.open(&name) {
                Ok(file) if wanted && was_segment(&file) => file,
                _ => {
                    self.dir
                        .remove(&name)
                        .map_err(|error| Error::io("remove", &path, error))?;
                    continue;
                }
            };
            spares.free.push(Spare { name, path, file });
        }
        Ok(())
    }
}
