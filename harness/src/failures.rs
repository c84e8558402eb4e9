//! Where failures are saved, if nothing else is said.
//!
//! That is `plugpull` in cargo's target directory. A program that does not come from one has a folder
//! in the temporary directory, which belongs to its user alone: all users share the directory.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

/// Names the folder in a target directory.
const NAME: &str = "plugpull";
/// Cargo marks its target directories by a file of this name, and this text in it.
const MARK: (&str, &str) = ("CACHEDIR.TAG", "created by cargo");
/// A program is not further below its target directory: `target/TRIPLE/PROFILE/deps/NAME`.
const DEPTH_MAX: usize = 4;

/// The folder; it need not exist yet.
pub(crate) fn folder() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let Some(folder) = in_target(&program, manifest.as_deref()) else {
        return of_user();
    };
    // As a person would write it.
    let here = env::current_dir().unwrap_or_default();
    match folder.strip_prefix(&here) {
        Ok(relative) => relative.to_owned(),
        Err(_) => folder,
    }
}

/// Creates the folder. The one that is in the temporary directory must belong to this user alone.
///
/// # Errors
/// If it cannot be created, or is not this user's.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let created = if folder == of_user() {
        create_private(folder)
    } else {
        fs::create_dir_all(folder)
    };
    created.map_err(|error| {
        let reason = format!("cannot use the folder {}: {error}", folder.display());
        io::Error::new(error.kind(), reason)
    })
}

/// The target directory above the program, or else the one of its crate or workspace, if it can be
/// written to.
fn in_target(program: &Path, manifest: Option<&Path>) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).take(DEPTH_MAX);
    let of_crate = manifest.into_iter().flat_map(Path::ancestors);
    let of_crate = of_crate.map(|dir| dir.join("target"));
    let mut known = above.map(Path::to_owned).chain(of_crate);
    let target = known.find(|dir| is_target(dir))?;
    let folder = target.join(NAME);
    let written = if folder.exists() { &folder } else { &target };
    let may = access(written, AccessFlags::W_OK | AccessFlags::X_OK);
    may.is_ok().then_some(folder)
}

fn is_target(dir: &Path) -> bool {
    let (name, text) = MARK;
    fs::read_to_string(dir.join(name)).is_ok_and(|mark| mark.contains(text))
}

/// This user's folder in the temporary directory.
fn of_user() -> PathBuf {
    env::temp_dir().join(format!("plugpull-failures-{}", geteuid()))
}

fn create_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => return created,
    }
    let found = fs::symlink_metadata(folder)?;
    let mine = found.uid() == geteuid().as_raw() && found.mode() & 0o777 == 0o700;
    if found.is_dir() && mine {
        return Ok(());
    }
    let reason = "it is not a directory of this user's alone: remove it, or say where failures are to \
                  be saved (`--out`, `Torture::artifacts`)";
    Err(io::Error::new(ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_program_of_cargos_has_its_folder_in_the_target_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let target = dir.path().join("a/target");
        fs::create_dir_all(&target).expect("made");
        let program = |path: &str| in_target(&target.join(path), None);
        let deep = "triple/debug/deps/test-0123";
        assert_eq!(program(deep), None, "it is not marked");
        let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# created by cargo.\n";
        fs::write(target.join(MARK.0), tag).expect("written");
        for path in ["debug/torture", "debug/examples/store", deep] {
            assert_eq!(program(path), Some(target.join(NAME)), "{path}");
        }
        // A doctest is built elsewhere.
        let (elsewhere, member) = (dir.path().join("rust_out"), dir.path().join("a/member"));
        let found = in_target(&elsewhere, Some(&member));
        assert_eq!(found, Some(target.join(NAME)));
        assert_eq!(in_target(&elsewhere, None), None);
    }

    #[test]
    fn a_folder_in_the_temporary_directory_is_this_users_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = dir.path().join("failures");
        create_private(&folder).expect("made");
        assert_eq!(
            fs::metadata(&folder).expect("it is there").mode() & 0o777,
            0o700
        );
        create_private(&folder).expect("it is ours");
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).expect("ours");
        let error = create_private(&folder).expect_err("others may write");
        assert!(error.to_string().contains("--out"), "{error}");
        let link = dir.path().join("link");
        symlink(dir.path(), &link).expect("made");
        create_private(&link).expect_err("it leads elsewhere");
        fs::write(dir.path().join("file"), "").expect("written");
        create_private(&dir.path().join("file")).expect_err("it is a file");
    }
}
