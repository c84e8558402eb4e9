//! A file that does not answer, as on a network that is down: the program waits for it, so that a test
//! can do something at just that moment.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// A named pipe: to open it for reading takes until it is opened for writing.
///
/// A program that opens a file twice waits both times. Two of these in a row are needed then: while the
/// program waits for the one, the other is made anew.
pub(crate) struct Stall(PathBuf);

impl Stall {
    pub(crate) fn new(path: &Path) -> Self {
        make(path);
        Self(path.to_owned())
    }

    /// Waits until a program waits for the file, and lets it go on. `false` if the program ends before.
    pub(crate) fn pass(&self, program: &mut Child) -> bool {
        while !self.try_pass() {
            if program.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Lets a program go on that waits for the file, if there is one.
    pub(crate) fn try_pass(&self) -> bool {
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&self.0);
        if let Err(error) = opened {
            // Nothing has it open for reading.
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENXIO), "{error}");
            return false;
        }
        // The program may keep the old one open.
        let fresh = self.0.with_extension("fresh");
        make(&fresh);
        std::fs::rename(fresh, &self.0).unwrap();
        true
    }
}

fn make(path: &Path) {
    nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o644)).unwrap();
}
