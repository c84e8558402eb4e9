//! What a real file system does: crashes after a program's end, mounted and looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::syncfs;

use super::kernel::{commit, files, write_back};
use super::program::Litmus;
use super::stage::Stage;
use crate::disk::{
    Crashes, Disk, Examiner, FileSystem, Image, Mounted, Recording, Sampling, Site,
    is_mount_refused,
};
use crate::sim::OsFs;

/// What was seen: each outcome, and in how many crash states.
pub type Seen = BTreeMap<String, u64>;

/// What the kernel does by itself after a program, brought about so that nobody has to wait for it.
/// In the end the file system is unmounted, and the power may go in the middle of all this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing: data and metadata are written by the unmount.
    Unmount,
    /// Metadata is committed before data is written back.
    Commit,
    /// One file's data after the other is written back, each followed by a commit.
    WriteBack,
    /// The same, the last file first.
    WriteBackReversed,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Unmount,
        Self::Commit,
        Self::WriteBack,
        Self::WriteBackReversed,
    ];
}

/// A disk with a real file system, in a mount namespace of its own.
#[derive(Debug)]
pub struct Bench {
    // Dropped in this order: all is unmounted before the namespace goes.
    examiner: Examiner,
    disk: Disk,
    clock: Arc<AtomicU64>,
    empty: Image,
    file_system: FileSystem,
    sampling: Sampling,
    _site: Site,
}

impl Bench {
    /// Makes the file system, in a directory below `base`. Which crash states are looked at, where
    /// there are too many, derives from the seed.
    ///
    /// # Errors
    /// If it is not to be had here: see [`available`](crate::disk::available).
    pub fn new(file_system: &FileSystem, base: &Path, seed: u64) -> io::Result<Self> {
        let site = Site::enter(base)?;
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock.clone())?;
        disk.format(file_system)?;
        Ok(Self {
            examiner: Examiner::new(&site, file_system)?,
            empty: disk.image(),
            disk,
            clock,
            file_system: file_system.clone(),
            sampling: Sampling {
                exhaustive_max: 4,
                subsets: 9,
                torn: 4,
                reordered: 2,
                ..Sampling::seeded(seed).on(file_system)
            },
            _site: site,
        })
    }

    /// Runs a program under every ending, for a process that has just mounted the file system as for
    /// one that has set everything up itself, and looks at what crashes after its end leave.
    ///
    /// # Errors
    /// If the program fails, or the machine does. That a crash state does not mount, or that a file
    /// in it cannot be read, is an outcome.
    pub fn observe(&mut self, litmus: &Litmus) -> io::Result<Seen> {
        let mut seen = Seen::new();
        for ending in Ending::ALL {
            for mounted_anew in [true, false] {
                let (end, recording) = self.record(litmus, ending, mounted_anew)?;
                self.examine(litmus, end, &recording, &mut seen)?;
            }
        }
        Ok(seen)
    }

    /// The index at which the program had ended, and what was recorded up to the unmount.
    fn record(
        &self,
        litmus: &Litmus,
        ending: Ending,
        mounted_anew: bool,
    ) -> io::Result<(u64, Recording)> {
        self.disk.load(&self.empty)?;
        let mut mounted = self.disk.mount(&self.file_system)?;
        (litmus.setup)(&Stage::new(&OsFs, mounted.path()))?;
        if mounted_anew {
            mounted.unmount()?;
            mounted = self.disk.mount(&self.file_system)?;
        }
        let root = File::open(mounted.path())?;
        syncfs(&root)?;
        drop(root);
        self.disk.start_recording();
        let ended = self.play(litmus, ending, mounted);
        let recording = self.disk.stop_recording();
        let recording = recording.ok_or_else(|| io::Error::other("the recording was ended"))?;
        Ok((ended?, recording))
    }

    fn play(&self, litmus: &Litmus, ending: Ending, mounted: Mounted) -> io::Result<u64> {
        let root = mounted.path();
        (litmus.program)(&Stage::new(&OsFs, root))?;
        let end = self.clock.load(Ordering::SeqCst);
        let kind = self.file_system.kind;
        let mut written_back = Vec::new();
        match ending {
            Ending::Unmount => {}
            Ending::Commit => commit(kind, root)?,
            Ending::WriteBack => written_back = files(root)?,
            Ending::WriteBackReversed => {
                written_back = files(root)?;
                written_back.reverse();
            }
        }
        for file in written_back {
            write_back(&file)?;
            commit(kind, root)?;
        }
        mounted.unmount()?;
        Ok(end)
    }

    fn examine(
        &mut self,
        litmus: &Litmus,
        end: u64,
        recording: &Recording,
        seen: &mut Seen,
    ) -> io::Result<()> {
        let crashes = Crashes::new(recording, &self.sampling);
        for state in crashes.states().iter().filter(|state| state.index() >= end) {
            let Some(image) = crashes.image(&state.outcome) else {
                return Err(io::Error::other("a state of another recording"));
            };
            let looked = self.examiner.with_mounted(&image, |dir| {
                let looked = (litmus.look)(&Stage::new(&OsFs, dir));
                looked.unwrap_or_else(|error| format!("unreadable: {error}"))
            });
            let outcome = match looked {
                Err(error) if is_mount_refused(&error) => "does not mount".to_owned(),
                looked => looked?,
            };
            *seen.entry(outcome).or_default() += 1;
        }
        Ok(())
    }
}
