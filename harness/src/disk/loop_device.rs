//! A block device on a file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::error::{at_path, doing};
use super::identity;
use super::nodes::{LOOP_CONTROL, loop_node};
use super::patience::while_busy_for;
use super::site::Site;
use super::sys;

/// Others take loop devices too: one that was free a moment ago may be theirs. And one that a killed process
/// had is said to be free while the kernel still tears it down. What is busy for longer has another problem.
const PATIENCE: Duration = Duration::from_secs(5);

/// A loop device that goes when it is dropped and not mounted, also if the process is killed.
#[derive(Debug)]
pub(super) struct LoopDevice {
    path: PathBuf,
    /// Keeps the device bound while nothing is mounted.
    device: File,
}

impl LoopDevice {
    /// Binds a file to a free device.
    pub(super) fn bind(backing: &Path, site: &Site) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(backing);
        let file = file.map_err(at_path("open", backing))?;
        let control = LOOP_CONTROL.open(&LOOP_CONTROL.node(site)?)?;
        let taken = while_busy_for(PATIENCE, || Self::take(&control, &file, site));
        taken.map_err(|error| match error.raw_os_error() {
            Some(_) => io::Error::other(format!(
                "each loop device that was free was taken by others, or busy, for {PATIENCE:?}"
            )),
            None => error,
        })
    }

    /// Binds a file to a device that is said to be free.
    ///
    /// # Errors
    /// `EBUSY`, as the kernel says it, if it is not.
    fn take(control: &File, file: &File, site: &Site) -> io::Result<Self> {
        let number = sys::loop_get_free(control).map_err(doing("find a free loop device"))?;
        let number = u64::try_from(number).map_err(io::Error::other)?;
        let path = loop_node(site, number)?;
        let device = File::options().read(true).write(true).open(&path);
        let advice = "(in a container: --privileged) open the loop device";
        let device = device.map_err(at_path(advice, &path))?;
        match sys::loop_configure(&device, file, &identity::name()) {
            Ok(()) => Ok(Self { path, device }),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Err(error),
            Err(error) => {
                let what = "bind (LOOP_CONFIGURE, Linux 5.8 is needed) the loop device";
                Err(at_path(what, &path)(error))
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel forgets what it has cached: the content is another now.
    pub(super) fn forget_cached(&self) -> io::Result<()> {
        sys::flush_buffers(&self.device).map_err(at_path("flush the buffers of", &self.path))
    }
}
