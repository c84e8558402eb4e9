//! Which file imports which, and the circles in that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use crate::resolve::Resolver;

/// What files import from each other, in all crates. A file that is a module of several crates is one
/// file.
#[derive(Debug, Default)]
pub(crate) struct Imports(BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>);

/// Files that import each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Circle {
    files: Vec<PathBuf>,
    imports: Vec<(PathBuf, PathBuf, BTreeSet<String>)>,
}

impl Imports {
    /// Adds those of a crate. Files are named as seen from `dir`.
    pub(crate) fn add(&mut self, crate_: &Resolver<'_>, dir: &Path) {
        let modules = &crate_.tree.modules;
        for module in modules {
            if let Some(parent) = module.parent {
                let name = format!("mod {}", module.name);
                self.insert(&modules[parent].file, &module.file, name, dir);
            }
        }
        for used in crate_.uses() {
            let (by, of) = (&modules[used.by], &modules[used.of]);
            self.insert(&by.file, &of.file, used.name, dir);
        }
    }

    fn insert(&mut self, from: &Path, to: &Path, name: String, dir: &Path) {
        if from != to {
            let [from, to] = [from, to].map(|it| it.strip_prefix(dir).unwrap_or(it).to_owned());
            self.0.entry((from, to)).or_default().insert(name);
        }
    }

    pub(crate) fn circles(&self) -> Vec<Circle> {
        let edges = self.0.keys().map(|(from, to)| (&**from, &**to));
        let graph: DiGraphMap<&Path, ()> = edges.collect();
        let parts = tarjan_scc(&graph).into_iter();
        let mut circles: Vec<Circle> = parts
            .filter(|files| files.len() > 1)
            .map(|files| self.circle(&files.into_iter().collect()))
            .collect();
        circles.sort();
        circles
    }

    fn circle(&self, files: &BTreeSet<&Path>) -> Circle {
        let inside = |(from, to): &(PathBuf, PathBuf)| {
            files.contains(from.as_path()) && files.contains(to.as_path())
        };
        let imports = self.0.iter().filter(|(edge, _)| inside(edge));
        Circle {
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            imports: imports
                .map(|((from, to), names)| (from.clone(), to.clone(), names.clone()))
                .collect(),
        }
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} files import each other in a circle:",
            self.files.len()
        )?;
        for file in &self.files {
            writeln!(f, "  {}", file.display())?;
        }
        for (from, to, names) in &self.imports {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (from, to) = (from.display(), to.display());
            writeln!(f, "    {from} -> {to}: {}", names.join(", "))?;
        }
        Ok(())
    }
}
