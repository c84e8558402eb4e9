//! What a profile allows: every outcome, enumerated.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::program::Litmus;
use super::stage::Stage;
use crate::disk::FileSystemKind;
use crate::sim::{Odometer, OpenOptions, Profile, SimFs};

/// More outcomes than any litmus may have: it is to be small.
const OUTCOMES_MAX: u32 = 1 << 20;

/// The profiles that stand for real file systems.
const PROFILES: [(FileSystemKind, Profile); 3] = [
    (FileSystemKind::Ext4, Profile::Ext4Ordered),
    (FileSystemKind::Xfs, Profile::Xfs),
    (FileSystemKind::Btrfs, Profile::Btrfs),
];

/// The profile that stands for a real file system; that of POSIX for one without a profile of its own.
pub fn profile_of(kind: FileSystemKind) -> Profile {
    let found = PROFILES.iter().find(|(known, _)| *known == kind);
    found.map_or(Profile::Strict, |(_, profile)| *profile)
}

/// All that a power cut after a litmus may leave by the rules of a profile.
///
/// # Errors
/// If the program fails, or has too many outcomes to look at each.
pub fn allowed(litmus: &Litmus, profile: Profile) -> io::Result<BTreeSet<String>> {
    let root = Path::new("/");
    let fs = SimFs::new(profile, 1);
    (litmus.setup)(&Stage::new(&fs, root))?;
    sync_all(&fs, root)?;
    (litmus.program)(&Stage::new(&fs, root))?;
    let mut found = BTreeSet::new();
    let mut odometer = Odometer::default();
    for _ in 0..OUTCOMES_MAX {
        let crashed = fs.crash_clone(&mut odometer);
        found.insert((litmus.look)(&Stage::new(&crashed, root))?);
        if !odometer.advance() {
            return Ok(found);
        }
    }
    Err(io::Error::other(format!(
        "`{}` has more than {OUTCOMES_MAX} outcomes under {profile}: make it smaller",
        litmus.name
    )))
}

/// Makes everything in a directory durable.
fn sync_all(fs: &SimFs, dir: &Path) -> io::Result<()> {
    for name in fs.read_dir(dir)? {
        let path = dir.join(name);
        if fs.is_dir(&path) {
            sync_all(fs, &path)?;
        } else {
            fs.open(&path, OpenOptions::new().read(true))?.sync_all()?;
        }
    }
    fs.sync_dir(dir)
}
