//! The crates of a repository: each target of each package.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// The root file of every target of every package below `dir`, whichever workspace it belongs to.
pub(crate) fn roots(dir: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut seen = BTreeSet::new();
    let mut roots = BTreeSet::new();
    for manifest in manifests(dir)? {
        if seen.contains(&manifest) {
            continue;
        }
        let metadata = MetadataCommand::new()
            .manifest_path(&manifest)
            .no_deps()
            .exec()
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        for package in metadata.packages {
            seen.insert(package.manifest_path.into_std_path_buf());
            let targets = package.targets.into_iter();
            roots.extend(targets.map(|target| target.src_path.into_std_path_buf()));
        }
    }
    Ok(roots)
}

/// Every `Cargo.toml` below `dir`, the upper ones first.
fn manifests(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", dir.display());
    let mut manifests = Vec::new();
    let mut folders = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if name == "Cargo.toml" {
            manifests.push(path);
        } else if name != "target" && name != ".git" && path.is_dir() && !path.is_symlink() {
            folders.push(path);
        }
    }
    folders.sort();
    for folder in folders {
        manifests.extend(self::manifests(&folder)?);
    }
    Ok(manifests)
}
