//! A FUSE file system, mounted and served by a thread of this process.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuser::{Config, Filesystem, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;

use super::error::{at_path, doing};
use super::helper::{self, Guard};
use super::identity;
use super::nodes::FUSE;
use super::patience::{while_busy, while_busy_for};
use super::site::Site;
use super::sys;

/// What uses a file system for longer has not ended with the processes that were started on it.
const LAST_USE: Duration = Duration::from_secs(30);

/// A server of what is not used any more takes less.
const USUAL_END: Duration = Duration::from_millis(500);

/// How a file system is mounted and served.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) threads: usize,
    /// Of the mount, behind those that each FUSE has.
    pub(crate) options: &'static str,
    pub(crate) flags: MsFlags,
    /// A block device stands on it.
    pub(crate) is_device: bool,
    /// Descriptors that its threads have, too. All others they do not.
    pub(crate) kept: Vec<RawFd>,
}

/// A file system that is served. It ends when nothing uses it any more.
pub(crate) struct Served {
    dir: PathBuf,
    /// It was mounted by the helper.
    guard: Option<Guard>,
    /// `None`: it is unmounted.
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Served {
    /// Mounts the file system on a directory: in the mount namespace of the calling thread, if it is at a site;
    /// else by the helper, where all see it.
    pub(crate) fn start(
        file_system: impl Filesystem,
        serving: Serving,
        site: Option<&Site>,
        dir: &Path,
    ) -> io::Result<Self> {
        let (started, result) = mpsc::channel();
        let at = dir.to_owned();
        let way = match site {
            Some(site) => Some((FUSE.node(site)?, site.outside())),
            None => None,
        };
        let guard = match site {
            Some(_) => None,
            None => Some(Guard::start(dir)?),
        };
        let server = thread::Builder::new()
            .name("plugpull-fuse".to_owned())
            .spawn(move || {
                let connected = match &way {
                    Some((node, outside)) => connect(file_system, &serving, node, &at, outside),
                    None => connect_by_helper(file_system, &serving, &at),
                };
                match connected {
                    Ok(session) => {
                        // Nobody waits if the other side is gone; then the mount is about to go too.
                        started.send(Ok(())).ok();
                        session.run()
                    }
                    Err(error) => {
                        started.send(Err(error)).ok();
                        Ok(())
                    }
                }
            });
        let server = server.map_err(doing("start a thread for a file system"))?;
        let failed = at_path("serve a file system in", dir);
        let ended = |_| io::Error::other("its thread has ended");
        let started = result.recv().map_err(ended).and_then(|started| started);
        started.map_err(|error| {
            umount2(dir, MntFlags::MNT_DETACH).ok();
            failed(error)
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            guard,
            server: Some(server),
        })
    }
}

impl Served {
    /// Whether it is still served: a file in it can be read.
    ///
    /// # Errors
    /// If the thread that serves it has ended: everything on it fails since, whatever a store does.
    pub(super) fn check(&self, file: &str) -> io::Result<()> {
        let path = self.dir.join(file);
        let read = File::open(&path).and_then(|file| file.read_at(&mut [0], 0));
        let advice = "read from the disk that this process serves (nothing that failed on it is the \
                      store's failure) as";
        read.map(drop).map_err(at_path(advice, &path))
    }

    /// Unmounts it and waits until its server has ended: until nothing uses it any more. The kernel may take
    /// its time to let go of the files of a process that had requests in a ring.
    ///
    /// # Errors
    /// If something goes on using it: then it goes with the last user.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.unmount(LAST_USE)
    }

    fn unmount(&mut self, last_use: Duration) -> io::Result<()> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        let unmounted = while_busy(|| match &self.guard {
            Some(_) => helper::unmount(&self.dir),
            None => umount2(&self.dir, MntFlags::UMOUNT_NOFOLLOW).map_err(io::Error::from),
        });
        // What is in use is taken out of sight now, and goes, with its server, when that is over.
        match (&unmounted, &mut self.guard) {
            (Ok(()), None) => {}
            (Ok(()), Some(guard)) => guard.dismiss()?,
            (Err(_), Some(guard)) => guard.detach()?,
            (Err(_), None) => umount2(&self.dir, MntFlags::MNT_DETACH)?,
        }
        // It never ends while a process has a copy of the mount in a namespace of its own.
        let ended = while_busy_for(last_use, || {
            let is_over = server.is_finished();
            is_over.then_some(()).ok_or(Errno::EBUSY)
        });
        ended.map_err(at_path("see the last use of", &self.dir))?;
        // The kernel's words at the end of a connection are no failure; a panic is, of all that used it.
        match server.join() {
            Ok(Err(error)) if error.raw_os_error().is_none() => {
                Err(at_path("serve a file system in", &self.dir)(error))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(format!(
                "the thread that served {} has panicked",
                self.dir.display()
            ))),
        }
    }
}

#[cfg(test)]
impl Served {
    /// Makes the kernel end the connection, by way of a control file system mounted on `control`.
    pub(super) fn abort(&self, control: &Path) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let connection = nix::sys::stat::minor(std::fs::metadata(&self.dir)?.dev());
        let none = None::<&str>;
        mount(none, control, Some("fusectl"), MsFlags::empty(), none)?;
        let abort = control.join(connection.to_string()).join("abort");
        std::fs::write(abort, "1")?;
        Ok(umount2(control, MntFlags::empty())?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What is still used goes later. Usually its server ends first: what it shares with this thread may
        // own descriptors, which are not among those of the server.
        self.unmount(USUAL_END).ok();
    }
}

/// Opens FUSE in a thread that owns nothing else, mounts, and goes where the mount is not.
///
/// # Why it leaves
/// The last thread in a mount namespace unmounts what is in it, as it dies. If that were a thread
/// with the FUSE descriptor, it would wait for itself: the kernel unmounts first and closes then.
///
/// # Why it takes no signal
/// The kernel gives a signal to any thread of the process that does not block it, and a handler usually
/// writes to a pipe. Here the number of that pipe is closed, or is the descriptor of FUSE: the signal would
/// be lost. The threads of the session inherit the mask.
fn connect<F: Filesystem>(
    file_system: F,
    serving: &Serving,
    node: &Path,
    dir: &Path,
    outside: &Path,
) -> io::Result<Session<F>> {
    apart(serving)?;
    if serving.is_device {
        // Takes CAP_SYS_RESOURCE, which not every root has. Without it, all that is lost is what the
        // kernel does for such a server when memory is all but used up.
        sys::serve_block_device().ok();
    }
    let outside = File::open(outside).map_err(at_path("open", outside))?;
    let device = OwnedFd::from(FUSE.open(node)?);
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0{}",
        device.as_raw_fd(),
        serving.options
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | serving.flags;
    let source = Some(identity::name());
    mount(source.as_deref(), dir, Some("fuse"), flags, Some(&*options))
        .map_err(doing("mount FUSE"))?;
    unshare(CloneFlags::CLONE_FS)
        .and_then(|()| setns(&outside, CloneFlags::CLONE_NEWNS))
        .map_err(doing("leave the mounts"))?;
    let mut config = Config::default();
    config.n_threads = Some(serving.threads);
    Session::from_fd(file_system, device, SessionACL::All, config)
}

/// The same where the helper mounts, and the mount is seen everywhere.
fn connect_by_helper<F: Filesystem>(
    file_system: F,
    serving: &Serving,
    dir: &Path,
) -> io::Result<Session<F>> {
    apart(serving)?;
    let name = identity::name();
    let options = format!("fsname={name},default_permissions,nosuid,nodev");
    let device = helper::mount(dir, &options).map_err(doing("mount by fusermount3"))?;
    let mut config = Config::default();
    config.n_threads = Some(serving.threads);
    Session::from_fd(file_system, device, SessionACL::Owner, config)
}

/// No signals, and descriptors of its own.
fn apart(serving: &Serving) -> io::Result<()> {
    SigSet::all().thread_block().map_err(doing(
        "block signals in the thread that serves a file system",
    ))?;
    sys::leave_descriptors(&serving.kept)
        .map_err(doing("have descriptors of its own (Linux 5.9 is needed)"))
}
