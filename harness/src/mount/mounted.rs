//! A simulated file system under a directory, for a while.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::mount::MsFlags;

use super::later::write_back_for;
use super::live::{Live, Lived};
use super::marks::Marks;
use super::requests::Requests;
use super::shared::Shared;
use crate::disk::{Served, Serving, Site, doing};
use crate::injection::Injection;
use crate::sim::Disk;
use crate::store::Announcer;

/// A file system that is mounted. Dropping it unmounts it.
pub(crate) struct Mounted {
    // Dropped in this order.
    served: Served,
    shared: Arc<Shared>,
    writing_back: JoinHandle<()>,
}

impl Mounted {
    /// Mounts a disk on a directory: in the mounts of a site, or where an ordinary user can.
    ///
    /// # Errors
    /// If that is not possible here.
    pub(crate) fn new(
        site: Option<&Site>,
        dir: &Path,
        disk: Disk,
        announcer: Arc<dyn Announcer>,
        injection: Option<Injection>,
    ) -> io::Result<Self> {
        let serving = Serving {
            // Requests are carried out one after the other.
            threads: 1,
            options: ",default_permissions,allow_other",
            flags: MsFlags::empty(),
            is_device: false,
            // What is announced is heard at each request.
            kept: announcer.descriptors(),
        };
        let shared = Arc::new(Shared::new(Live::new(
            disk,
            Marks::new(announcer),
            injection,
        )));
        let (write_backs, asked) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let writing_back = thread::Builder::new()
            .name("plugpull-write-back".to_owned())
            .spawn(move || write_back_for(&asked, &of_thread))
            .map_err(doing("start a thread that writes pages back"))?;
        let requests = Requests::new(Arc::clone(&shared), write_backs);
        Ok(Self {
            served: Served::start(requests, serving, site, dir)?,
            shared,
            writing_back,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// If something still uses it, or something was done on it that cannot be told.
    pub(crate) fn end(self) -> io::Result<Lived> {
        let Self {
            served,
            shared,
            writing_back,
        } = self;
        shared.write_back()?;
        shared.unmap();
        served.end()?;
        // Nothing asks it any more.
        writing_back.join().expect("it does not panic");
        let in_use = |_| io::Error::other("the mounted file system is still in use");
        Arc::try_unwrap(shared).map_err(in_use)?.finish()
    }
}
