//! Which file system, how large, made and mounted how.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use super::error::{at_path, refused};
use super::mounted::Mounted;
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
    /// Everything that `mkfs` writes is put in place again for every state: so no spare copies or room
    /// to grow, no initialisation later on, no discard.
    mkfs_args: &'static str,
    /// Tells `mkfs` the number of inodes, where it is a fixed one.
    inodes_option: Option<&'static str>,
    mount_options: &'static str,
    /// See [`FileSystem::untorn_pages`].
    untorn_pages: &'static [u64],
}

/// How large a disk is. It costs what is written to it: pages of zeros are neither kept nor put in place,
/// and `mkfs` writes as much to a disk of this size as to the smallest.
const BYTES: u64 = 1 << 30;

/// A row for each kind.
const PRESETS: [Preset; 3] = [
    Preset {
        kind: FileSystemKind::Ext4,
        name: "ext4",
        package: "e2fsprogs",
        mkfs_args: "-q -F -b 4096 -i 16384 -J size=4 -O ^resize_inode \
                    -E lazy_itable_init=1,lazy_journal_init=1,nodiscard",
        inodes_option: Some("-N"),
        mount_options: "",
        untorn_pages: &[0],
    },
    Preset {
        kind: FileSystemKind::Xfs,
        name: "xfs",
        package: "xfsprogs",
        mkfs_args: "-q -f -K -s size=4096",
        inodes_option: None,
        // Every image has the same UUID.
        mount_options: "nouuid",
        untorn_pages: &[],
    },
    Preset {
        kind: FileSystemKind::Btrfs,
        name: "btrfs",
        package: "btrfs-progs",
        mkfs_args: "-q -f -K -M -m single -d single",
        inodes_option: None,
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

/// A file system to be made on a disk. The presets are large and sparse: a store finds room for large files
/// and for thousands of small ones, and a state costs what is written, not the size of the disk.
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
            bytes: BYTES,
            mkfs_args: preset.mkfs_args.split(' ').map(str::to_owned).collect(),
            mount_options: preset.mount_options.to_owned(),
        }
    }

    /// ext4 in 1 GiB, with an inode for every 16 KiB.
    pub fn ext4() -> Self {
        Self::new(FileSystemKind::Ext4)
    }

    /// XFS in 1 GiB.
    pub fn xfs() -> Self {
        Self::new(FileSystemKind::Xfs)
    }

    /// Btrfs in 1 GiB, data and metadata mixed.
    pub fn btrfs() -> Self {
        Self::new(FileSystemKind::Btrfs)
    }

    /// Btrfs as one would have it: data and metadata apart, metadata twice.
    pub fn btrfs_unmixed() -> Self {
        Self {
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

    /// The option of the command line that makes a number of inodes, where it is a fixed one.
    pub(super) fn inodes_option(&self, number: u64) -> Option<String> {
        let option = self.kind.preset().inodes_option?;
        Some(format!("`--mkfs-options '{option} {number}'`"))
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

    /// Why it was not mounted: what the image is to blame for is told apart from all else.
    fn not_mounted(&self, error: Errno, device: &Path) -> io::Error {
        let advice = match error {
            Errno::ENODEV => "has no such file system, or cannot load its module",
            Errno::EPERM | Errno::EACCES => "does not allow it (in a container: --privileged)",
            Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => "has too little of what it takes",
            Errno::ENOTBLK | Errno::ENXIO => "has no such device any more",
            Errno::ENOENT if !device.exists() => "has no such device any more",
            _ => return refused(error.into()),
        };
        at_path(
            &format!("mount {}; this kernel {advice}:", self.kind),
            device,
        )(error)
    }

    /// Mounts it. That the kernel refuses is told apart from all else.
    pub(super) fn mount(&self, site: &Site, device: &Path, dir: &Path) -> io::Result<Mounted> {
        let (kind, options) = (Some(self.kind.name()), Some(&*self.mount_options));
        let mounted = mount(Some(device), dir, kind, MsFlags::MS_NOATIME, options);
        mounted.map_err(|error| self.not_mounted(error, device))?;
        Ok(Mounted::new(site, device, dir))
    }
}

/// Whether the kernel knows a file system, or may have a module that does.
fn kernel_has(kind: FileSystemKind) -> Result<(), String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = Path::new("/lib/modules").join(release.trim());
    let modules = fs::read_to_string(modules.join("modules.dep")).ok();
    if may_have(kind, &known, modules.as_deref()) {
        return Ok(());
    }
    Err(format!(
        "this kernel has no {kind}: use one that was built with it"
    ))
}

/// The same, from what `/proc/filesystems` says, and the list of modules. Without a list, a mount has to be
/// tried: in a container, the kernel can load modules that are not to be seen there.
fn may_have(kind: FileSystemKind, known: &str, modules: Option<&str>) -> bool {
    let module = format!("/{}.ko", kind.name());
    known.lines().any(|line| line.trim() == kind.name())
        || modules.is_none_or(|modules| modules.contains(&module))
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

#[cfg(test)]
mod tests {
    use super::super::error::is_mount_refused;
    use super::*;

    #[test]
    fn a_file_system_is_missing_if_it_is_neither_known_nor_in_the_list_of_modules() {
        let may_have = |known, modules| may_have(FileSystemKind::Xfs, known, modules);
        let (none, some) = (
            "kernel/fs/ext4/ext4.ko:\n",
            "kernel/fs/xfs/xfs.ko.zst: a.ko\n",
        );
        assert!(may_have("nodev\tproc\n\txfs\n", Some(none)));
        assert!(may_have("nodev\tproc\n", Some(some)));
        assert!(may_have("nodev\tproc\n", None));
        assert!(!may_have("nodev\tproc\n\text4\n", Some(none)));
    }

    #[test]
    fn what_the_machine_lacks_is_not_the_image_s_fault() {
        let ext4 = FileSystem::ext4();
        let null = Path::new("/dev/null");
        for error in [Errno::ENODEV, Errno::EPERM, Errno::ENOMEM, Errno::ENXIO] {
            assert!(!is_mount_refused(&ext4.not_mounted(error, null)), "{error}");
        }
        let gone = Path::new("/dev/gone");
        assert!(!is_mount_refused(&ext4.not_mounted(Errno::ENOENT, gone)));
        for error in [Errno::EINVAL, Errno::EUCLEAN, Errno::EIO, Errno::ENOENT] {
            assert!(is_mount_refused(&ext4.not_mounted(error, null)), "{error}");
        }
    }
}
