//! Which file system, how large, made and mounted how.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};

use super::error::{at_path, refused};
use super::patience::while_busy;
use super::site::Site;

/// The kinds that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystemKind {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

/// What makes one kind different from the others.
struct Preset {
    kind: FileSystemKind,
    /// What the kernel calls it.
    name: &'static str,
    /// Debian's package with its programs.
    package: &'static str,
    /// The smallest disk on which it is still itself.
    megabytes: u64,
    /// Only what is not written need not be examined: no initialisation later on, no discard.
    mkfs_args: &'static str,
    mount_options: &'static str,
    /// See [`FileSystem::untorn_pages`].
    untorn_pages: &'static [u64],
}

/// A row for each kind.
const PRESETS: [Preset; 3] = [
    Preset {
        kind: FileSystemKind::Ext4,
        name: "ext4",
        package: "e2fsprogs",
        megabytes: 16,
        mkfs_args: "-q -F -b 4096 -N 64 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        mount_options: "",
        untorn_pages: &[0],
    },
    Preset {
        kind: FileSystemKind::Xfs,
        name: "xfs",
        package: "xfsprogs",
        // The least that mkfs.xfs makes.
        megabytes: 300,
        mkfs_args: "-q -f -K -s size=4096",
        // Every image has the same UUID.
        mount_options: "nouuid",
        untorn_pages: &[],
    },
    Preset {
        kind: FileSystemKind::Btrfs,
        name: "btrfs",
        package: "btrfs-progs",
        megabytes: 16,
        mkfs_args: "-q -f -K -M -m single -d single",
        mount_options: "",
        untorn_pages: &[16],
    },
];

impl FileSystemKind {
    /// All of them.
    pub const ALL: [Self; PRESETS.len()] = [PRESETS[0].kind, PRESETS[1].kind, PRESETS[2].kind];

    fn preset(self) -> &'static Preset {
        let found = PRESETS.iter().find(|preset| preset.kind == self);
        found.expect("every kind has its row")
    }

    /// Its name in the kernel.
    pub fn name(self) -> &'static str {
        self.preset().name
    }

    /// Debian's package with its programs.
    fn package(self) -> &'static str {
        self.preset().package
    }
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FileSystemKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            let known = PRESETS.map(|preset| preset.name).join(", ");
            format!("no file system '{name}': there are {known}")
        })
    }
}

/// A file system to be made on a disk. The presets are as small as can be: everything that a disk holds is read again for every state that is examined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Which.
    pub kind: FileSystemKind,
    /// How large its disk is.
    pub bytes: u64,
    /// What `mkfs` is told, the device aside.
    pub mkfs_args: Vec<String>,
    /// What `mount` is told, as behind `-o`.
    pub mount_options: String,
}

impl FileSystem {
    /// The preset of a kind.
    pub fn new(kind: FileSystemKind) -> Self {
        let preset = kind.preset();
        Self {
            kind,
            bytes: preset.megabytes << 20,
            mkfs_args: preset.mkfs_args.split(' ').map(str::to_owned).collect(),
            mount_options: preset.mount_options.to_owned(),
        }
    }

    /// ext4 in 16 MiB.
    pub fn ext4() -> Self {
        Self::new(FileSystemKind::Ext4)
    }

    /// XFS in 300 MiB, most of them never written.
    pub fn xfs() -> Self {
        Self::new(FileSystemKind::Xfs)
    }

    /// Btrfs in 16 MiB, data and metadata mixed.
    pub fn btrfs() -> Self {
        Self::new(FileSystemKind::Btrfs)
    }

    /// Btrfs in 128 MiB as one would have it: data and metadata apart, metadata twice.
    pub fn btrfs_unmixed() -> Self {
        Self {
            bytes: 128 << 20,
            mkfs_args: ["-q", "-f", "-K"].map(str::to_owned).to_vec(),
            ..Self::btrfs()
        }
    }

    /// Adds mount options.
    #[must_use]
    pub fn mounted_with(mut self, options: &str) -> Self {
        if !self.mount_options.is_empty() {
            self.mount_options.push(',');
        }
        self.mount_options.push_str(options);
        self
    }

    /// The pages that it cannot bear to be torn by sectors of 512 bytes: the superblock, where it is
    /// larger than that, has a checksum and no second copy that a mount would look at.
    ///
    /// Measured on Linux 6.18: torn, ext4's is refused with EBADMSG and Btrfs's with EINVAL. That
    /// says something about the file system, and nothing about what is stored in it.
    pub fn untorn_pages(&self) -> Vec<u64> {
        self.kind.preset().untorn_pages.to_vec()
    }

    /// Whether this machine has the kernel's and the user's part; if not, what is missing.
    pub(super) fn available(&self) -> Result<(), String> {
        kernel_has(self.kind)?;
        mkfs(self.kind).map(|_| ())
    }

    /// Makes it on a device.
    pub(super) fn make(&self, device: &Path) -> io::Result<()> {
        let program = mkfs(self.kind).map_err(io::Error::other)?;
        let mut command = Command::new(&program);
        command.args(&self.mkfs_args).arg(device);
        let output = command.output().map_err(at_path("run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "{} on {} ends with {}: {}",
            program.display(),
            device.display(),
            output.status,
            said.trim(),
        )))
    }

    /// Mounts it. That the kernel refuses is told apart from all else.
    pub(super) fn mount(&self, site: &Site, device: &Path, dir: &Path) -> io::Result<Mounted> {
        let (kind, options) = (Some(self.kind.name()), Some(&*self.mount_options));
        mount(Some(device), dir, kind, MsFlags::MS_NOATIME, options)
            .map_err(|error| refused(error.into()))?;
        Ok(Mounted {
            dir: Some(dir.to_owned()),
            _site: site.clone(),
        })
    }
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mounted {
    /// None once it is unmounted.
    dir: Option<PathBuf>,
    /// Only there can it be unmounted.
    _site: Site,
}

impl Mounted {
    /// Where it is mounted, as the thread that mounted it sees it, and all that this one starts.
    pub fn path(&self) -> &Path {
        self.dir.as_deref().expect("unmounting takes the value")
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// If it is in use: a file in it is open, or a process works there. It is gone all the same, as
    /// far as new users are concerned.
    pub fn unmount(mut self) -> io::Result<()> {
        let dir = self.dir.take().expect("unmounting takes the value");
        while_busy(|| umount2(&dir, MntFlags::UMOUNT_NOFOLLOW)).map_err(|error| {
            umount2(&dir, MntFlags::MNT_DETACH).ok();
            at_path("unmount (close all files in it first)", &dir)(error)
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            // A caller that wants to hear of errors calls `unmount`. A file that a panic left open may
            // not keep the rest from being torn down.
            if while_busy(|| umount2(dir, MntFlags::UMOUNT_NOFOLLOW)).is_err() {
                umount2(dir, MntFlags::MNT_DETACH).ok();
            }
        }
    }
}

/// Whether the kernel knows a file system, or has a module that does.
fn kernel_has(kind: FileSystemKind) -> Result<(), String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim() == kind.name()) {
        return Ok(());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules")
        .join(release.trim())
        .join("modules.dep");
    let module = format!("/{}.ko", kind.name());
    let has = fs::read_to_string(modules).is_ok_and(|modules| modules.contains(&module));
    if has {
        return Ok(());
    }
    Err(format!(
        "this kernel has no {kind}: use one that was built with it"
    ))
}

/// Where `mkfs` is.
pub(crate) fn mkfs(kind: FileSystemKind) -> Result<PathBuf, String> {
    let name = OsString::from(format!("mkfs.{kind}"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Tools for the administrator are not in every user's path.
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut dirs = std::env::split_paths(&path).chain(more);
    let found = dirs.find_map(|dir| Some(dir.join(&name)).filter(|path| path.is_file()));
    found.ok_or_else(|| format!("no mkfs.{kind}; Debian's package is {}", kind.package()))
}

/// Waits until everything written to a mounted file system is on its disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    let failed = at_path("sync the file system on", dir);
    let dir = fs::File::open(dir).map_err(&failed)?;
    nix::unistd::syncfs(&dir)
        .map_err(io::Error::from)
        .map_err(failed)
}
