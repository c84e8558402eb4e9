//! Copies of the working tree, in which mutants are put and taken out again.
//!
//! ```text
//! WORK/LOCK        held by the run that owns what follows
//! WORK/target      one target directory for all builds; stays
//! WORK/copy-0/     a copy for each job: tracked and untracked files as they are, ignored ones not
//! WORK/out-0/      what its catchers leave
//! ```
//!
//! Copies are removed at the end, or by the next run if this one dies. Their files have the times of
//! the originals, so that cargo finds again what it has built, in all copies: it knows the packages of
//! a workspace by their place in it, so the builds of all copies are the same to it. An object file of
//! another copy's mutant would pass for the source in this one. So everything that a mutant may
//! change is made newer than any build before each build ([`Slot::freshen`]).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use twox_hash::XxHash3_64;

use super::patch::Mutant;
use crate::scratch::remove_dir;

/// The user's tree. Nothing is ever written to it but below the work directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Files to be copied, sorted.
    files: Vec<PathBuf>,
    /// Mutants change files below these folders only.
    touching: Vec<PathBuf>,
}

impl Tree {
    pub(super) fn new(root: &Path, touching: &[PathBuf]) -> Result<Self, String> {
        let cannot = |why: String| format!("cannot list the files of {}: {why}", root.display());
        let root = root.canonicalize().map_err(|why| cannot(why.to_string()))?;
        let mut list = Command::new("git");
        list.current_dir(&root);
        list.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listed = succeed(list).map_err(cannot)?;
        let names = String::from_utf8(listed.stdout);
        let names = names.map_err(|_| cannot("a name is not UTF-8".to_owned()))?;
        let mut files: Vec<PathBuf> = names
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            // A tracked file may have been removed. What is no file (a link, a submodule) is not
            // needed to build.
            .filter(|name| fs::symlink_metadata(root.join(name)).is_ok_and(|it| it.is_file()))
            .collect();
        files.sort_unstable();
        files.dedup();
        Ok(Self {
            root,
            files,
            touching: touching.to_vec(),
        })
    }

    /// What the results depend on, in a number: every file but prose and mutants, and one mutant.
    pub(super) fn fingerprint(&self, patches: &Path, mutant: Option<&Mutant>) -> io::Result<u64> {
        let mut hasher = XxHash3_64::default();
        let built = |name: &&PathBuf| {
            let prose = name.extension().is_some_and(|extension| extension == "md");
            !prose && !name.starts_with(patches)
        };
        for name in self.files.iter().filter(built) {
            hasher.write(name.as_os_str().as_encoded_bytes());
            hasher.write(&fs::read(self.root.join(name))?);
        }
        if let Some(mutant) = mutant {
            hasher.write(mutant.diff.as_bytes());
        }
        Ok(hasher.finish())
    }

    fn may_change(&self, name: &Path) -> bool {
        self.touching.iter().any(|folder| name.starts_with(folder))
    }

    /// Why a mutant cannot be put into the tree as it is, if it cannot.
    pub(super) fn misfit(&self, mutant: &Mutant) -> Result<(), String> {
        if let Some(name) = mutant.touches.iter().find(|name| !self.may_change(name)) {
            let folders: Vec<String> = self
                .touching
                .iter()
                .map(|f| f.display().to_string())
                .collect();
            let folders = folders.join(", ");
            return Err(format!(
                "it changes {}, which is not below {folders}",
                name.display()
            ));
        }
        apply(&self.root, mutant, &["--check"]).map_err(|why| format!("it does not apply: {why}"))
    }
}

/// Applies a patch in a folder, whatever repository that folder may lie in.
fn apply(folder: &Path, mutant: &Mutant, options: &[&str]) -> Result<(), String> {
    let patch = mutant.path.canonicalize().map_err(|why| why.to_string())?;
    let mut git = Command::new("git");
    git.current_dir(folder);
    // In a folder of a repository, names in a patch would be taken from the repository's root.
    if let Some(parent) = folder.parent() {
        git.env("GIT_CEILING_DIRECTORIES", parent);
    }
    git.arg("apply").args(options).arg(patch);
    succeed(git).map(drop)
}

fn succeed(mut command: Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The directory in which mutants are built, while a run owns it.
#[derive(Debug)]
pub(super) struct Workshop {
    path: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Takes it, and removes what a run that died has left.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let at = |error| format!("cannot work in {}: {error}", path.display());
        fs::create_dir_all(path).map_err(at)?;
        let path = path.canonicalize().map_err(at)?;
        let lock = File::create(path.join("LOCK")).map_err(at)?;
        if let Err(error) = lock.try_lock() {
            return Err(match error {
                fs::TryLockError::WouldBlock => {
                    format!(
                        "another run of mutants works in {}: wait for it",
                        path.display()
                    )
                }
                fs::TryLockError::Error(error) => at(error),
            });
        }
        let workshop = Self { path, _lock: lock };
        workshop.clear().map_err(at)?;
        Ok(workshop)
    }

    pub(super) fn target(&self) -> PathBuf {
        self.path.join("target")
    }

    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("copy-") || name.starts_with("out-") {
                remove_dir(&entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!(
                "cannot remove the copies in {}: {error}",
                self.path.display()
            );
        }
    }
}

/// One job's copy of the tree.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    tree: &'a Tree,
    /// The copy.
    pub(super) path: PathBuf,
    /// For what catchers leave.
    pub(super) out: PathBuf,
    /// Files that the mutant in it has changed.
    changed: Vec<PathBuf>,
    /// What has been built of it: executables by the command that built them.
    built: BTreeMap<String, Vec<PathBuf>>,
}

impl<'a> Slot<'a> {
    pub(super) fn new(tree: &'a Tree, workshop: &Workshop, number: usize) -> io::Result<Self> {
        let path = workshop.path.join(format!("copy-{number}"));
        let out = workshop.path.join(format!("out-{number}"));
        fs::create_dir_all(&out)?;
        let slot = Self {
            tree,
            path,
            out,
            changed: Vec::new(),
            built: BTreeMap::new(),
        };
        for name in &tree.files {
            slot.restore(name)?;
        }
        Ok(slot)
    }

    /// Copies a file anew.
    fn restore(&self, name: &Path) -> io::Result<()> {
        let (from, to) = (self.tree.root.join(name), self.path.join(name));
        fs::create_dir_all(to.parent().expect("it lies in the copy"))?;
        fs::copy(&from, &to)?;
        let time = fs::metadata(&from)?.modified()?;
        File::options().append(true).open(&to)?.set_modified(time)
    }

    /// Makes every file that a mutant may change newer than any build. To be called by whoever has
    /// the turn to build.
    pub(super) fn freshen(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for name in self
            .tree
            .files
            .iter()
            .filter(|name| self.tree.may_change(name))
        {
            let file = File::options().append(true).open(self.path.join(name))?;
            file.set_modified(now)?;
        }
        Ok(())
    }

    /// Where the executables of this build of the mutant in it are, if it has been built.
    pub(super) fn built(&self, build: &str) -> Option<&[PathBuf]> {
        self.built.get(build).map(Vec::as_slice)
    }

    pub(super) fn note_built(&mut self, build: String, executables: Vec<PathBuf>) {
        self.built.insert(build, executables);
    }

    /// Takes out the mutant that was in it, and puts in this one.
    pub(super) fn mutate(&mut self, mutant: Option<&Mutant>) -> Result<(), String> {
        let at = |error| format!("cannot restore {}: {error}", self.path.display());
        for name in &self.changed {
            self.restore(name).map_err(at)?;
        }
        self.changed.clear();
        self.built.clear();
        let Some(mutant) = mutant else { return Ok(()) };
        self.changed.extend(mutant.touches.iter().cloned());
        self.tree.misfit(mutant)?;
        apply(&self.path, mutant, &[])
    }
}
