//! A test that runs once more as a child, under trace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::image::Image;
use crate::recorder::copier::Copier;
use crate::store::{Calls, Silent};
use crate::trace::{Tracer, enter_child};

const STORE: &str = "PLUGPULL_COPIER_TEST_STORE";
const TOLD: &str = "PLUGPULL_COPIER_TEST_TOLD";
/// Far beyond what any of these children takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// In memory, if there is such a directory.
const IN_MEMORY: &str = "/dev/shm";

/// Whether this is a test that runs once more.
pub(super) fn is_child() -> bool {
    std::env::var_os(STORE).is_some()
}

/// Runs a test once more as a child, which is traced in a directory of its own. In that child, it runs `script`
/// with `told` and does not return. `None` where ptrace is not permitted.
pub(super) fn traced<T>(
    test: &str,
    within: &Path,
    told: &str,
    script: impl FnOnce(&Path, &str),
    watch: impl FnOnce(Tracer, &Path) -> io::Result<T>,
) -> Option<T> {
    if let Some(store) = std::env::var_os(STORE) {
        let told = std::env::var(TOLD).expect("set");
        enter_child().expect("the tracer waits for us");
        script(Path::new(&store), &told);
        std::process::exit(0);
    }
    let scratch = tempfile::tempdir_in(within).expect("a temporary directory");
    let store = scratch.path().join("store");
    fs::create_dir(&store).expect("made");
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            test,
            "--exact",
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ])
        .env(STORE, &store)
        .env(TOLD, told)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let tracer = Tracer::new(child, &store).expect("it is there");
    match watch(tracer.time_limit(PATIENCE), &store) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: {error}");
            None
        }
        watched => Some(watched.expect("it is traced")),
    }
}

pub(super) fn copier(store: &Path) -> Copier<'_> {
    let (announcer, calls_max) = (Arc::new(Silent), Calls::FromStart(u64::MAX));
    let copier = Copier::new(store, announcer, false, &Image::default(), calls_max);
    copier.expect("the directory is read")
}

/// Where directories are made: on a disk, and in memory.
pub(super) fn file_systems() -> Vec<PathBuf> {
    let mut all = vec![std::env::temp_dir()];
    all.extend(Some(PathBuf::from(IN_MEMORY)).filter(|dir| dir.is_dir()));
    all
}

/// The number of seeds, or what the environment says.
pub(super) fn seeds(number: u64) -> u64 {
    let seeds = std::env::var("PLUGPULL_COPIER_TEST_SEEDS").ok();
    seeds.map_or(number, |seeds| seeds.parse().expect("a number"))
}
