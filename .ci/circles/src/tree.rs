//! The modules of one crate, and the files that they stand in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{Import, Source};

/// A crate. Its first module is its root.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<usize>,
    /// By name. There are several of a name if `#[cfg]` chooses between them.
    pub(crate) children: BTreeMap<String, Vec<usize>>,
    pub(crate) items: BTreeMap<String, bool>,
    pub(crate) imports: Vec<Import>,
    pub(crate) paths: Vec<Vec<String>>,
}

/// Where a module's children are looked for.
struct Place {
    file: PathBuf,
    /// For `mod child;`
    children: PathBuf,
    /// For `#[path]`
    paths: PathBuf,
}

impl Tree {
    /// Reads the crate whose root is this file.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.read_file("crate", root, None, true)?;
        Ok(tree)
    }

    /// `owns_folder`: the children are beside the file, not in a folder of its name.
    fn read_file(
        &mut self,
        name: &str,
        file: &Path,
        parent: Option<usize>,
        owns_folder: bool,
    ) -> Result<usize, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let file = fs::canonicalize(file).map_err(|error| failed(&error))?;
        let text = fs::read_to_string(&file).map_err(|error| failed(&error))?;
        let source = Source::parse(&text).map_err(|error| failed(&error))?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        let place = Place {
            children: if owns_folder {
                folder.clone()
            } else {
                file.with_extension("")
            },
            paths: folder,
            file,
        };
        self.add(name, source, parent, &place)
    }

    fn add(
        &mut self,
        name: &str,
        source: Source,
        parent: Option<usize>,
        place: &Place,
    ) -> Result<usize, String> {
        let id = self.modules.len();
        self.modules.push(Module {
            name: name.to_owned(),
            file: place.file.clone(),
            parent,
            children: BTreeMap::new(),
            items: source.items,
            imports: source.imports,
            paths: source.paths,
        });
        for child in source.children {
            let name = &child.name;
            let path = child.path.map(|path| place.paths.join(path));
            let added = match (child.inline, path) {
                (Some(source), path) => {
                    let folder = path.unwrap_or_else(|| place.children.join(name));
                    let place = Place {
                        file: place.file.clone(),
                        children: folder.clone(),
                        paths: folder,
                    };
                    self.add(name, source, Some(id), &place)?
                }
                (None, Some(path)) => self.read_file(name, &path, Some(id), true)?,
                (None, None) => {
                    let flat = place.children.join(format!("{name}.rs"));
                    let folder = place.children.join(name).join("mod.rs");
                    let is_flat = flat.exists();
                    let file = if is_flat { flat } else { folder };
                    self.read_file(name, &file, Some(id), !is_flat)?
                }
            };
            let children = &mut self.modules[id].children;
            children.entry(child.name).or_default().push(added);
        }
        Ok(id)
    }
}
