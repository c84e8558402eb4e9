//! The programs of `litmus` on a mounted file system: a power cut leaves there what the profiles allow, all of
//! it and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Site;
use crate::litmus::{Litmus, Stage, allowed};
use crate::mount::Mounted;
use crate::sim::{Disk, Odometer, OsFs, Profile, SimFs};
use crate::store::Silent;

/// More outcomes than this are not compared.
const OUTCOMES_MAX: u32 = 1 << 12;

/// Makes everything in a directory durable.
fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

/// The disk after a litmus.
fn disk_after(
    litmus: &Litmus,
    profile: Profile,
    site: Option<&Site>,
    dir: &Path,
) -> io::Result<Disk> {
    let mounted = Mounted::new(site, dir, Disk::new(profile), Arc::new(Silent), None)?;
    (litmus.setup)(&Stage::new(&OsFs, dir))?;
    sync_all(dir)?;
    (litmus.program)(&Stage::new(&OsFs, dir))?;
    Ok(mounted.end()?.past.disk().clone())
}

/// What a power cut leaves of it. `None`: too much.
fn outcomes(litmus: &Litmus, disk: Disk) -> io::Result<Option<BTreeSet<String>>> {
    let fs = SimFs::from_disk(disk, 1);
    let mut found = BTreeSet::new();
    let mut odometer = Odometer::default();
    for _ in 0..OUTCOMES_MAX {
        let crashed = fs.crash_clone(&mut odometer);
        found.insert((litmus.look)(&Stage::new(&crashed, Path::new("/")))?);
        if !odometer.advance() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[test]
fn a_litmus_on_a_mounted_file_system_leaves_what_the_profiles_allow() {
    let scratch = tempfile::tempdir().expect("a directory");
    if let Err(why) = crate::mount::available(scratch.path()) {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let site = crate::mount::site(scratch.path()).expect("it was possible just now");
    let dir = scratch.path().join("mounted");
    fs::create_dir(&dir).expect("made");
    let mut compared = 0;
    for litmus in Litmus::all() {
        for profile in Profile::ALL {
            let disk = disk_after(&litmus, profile, site.as_ref(), &dir);
            let disk = disk.unwrap_or_else(|error| panic!("{}: {error}", litmus.name));
            let Some(seen) = outcomes(&litmus, disk).expect("it can be looked at") else {
                continue;
            };
            let allowed = allowed(&litmus, profile).expect("it is small");
            assert_eq!(seen, allowed, "{} under {profile}", litmus.name);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}
