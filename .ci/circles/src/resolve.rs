//! Which module defines what a path leads to.

use std::collections::BTreeSet;

use crate::source::Import;
use crate::tree::Tree;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    /// An item, with the module that defines it.
    Item(usize, String),
}

/// One module uses an item of another one.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) by: usize,
    pub(crate) of: usize,
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) tree: &'a Tree,
}

/// The imports that are being followed, so that one that leads to itself ends.
type Trail = Vec<(usize, String)>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self { tree }
    }

    /// Everything that modules use of each other. A module that is only named is not used: what
    /// counts is what is named in it.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (by, module) in self.tree.modules.iter().enumerate() {
            let imported = module.imports.iter().map(|import| &import.path);
            for path in imported.chain(&module.paths) {
                for target in self.resolve(by, path, &mut Trail::new()) {
                    if let Target::Item(of, name) = target {
                        uses.push(Use { by, of, name });
                    }
                }
            }
        }
        uses
    }

    /// What a path in a module leads to; the longest part of it that is known. Nothing if it leads
    /// into another crate, or is no path.
    fn resolve(&self, module: usize, path: &[String], trail: &mut Trail) -> BTreeSet<Target> {
        let Some((first, mut rest)) = path.split_first() else {
            return BTreeSet::new();
        };
        let mut found = match first.as_str() {
            "crate" => BTreeSet::from([Target::Module(0)]),
            "self" => BTreeSet::from([Target::Module(module)]),
            "super" => self.parent(module).into_iter().collect(),
            name => self.look_up(module, name, module, trail),
        };
        while let [name, after @ ..] = rest {
            let modules = found.iter().filter_map(|target| match target {
                Target::Module(module) => Some(*module),
                Target::Item(..) => None,
            });
            let modules: Vec<usize> = modules.collect();
            let next: BTreeSet<Target> = match name.as_str() {
                "super" => modules.iter().filter_map(|it| self.parent(*it)).collect(),
                name => {
                    let inside = modules.iter();
                    let inside = inside.flat_map(|it| self.look_up(*it, name, module, trail));
                    inside.collect()
                }
            };
            if next.is_empty() {
                // A variant or an associated item, or something that a macro has made.
                let items = found.iter().filter(|it| matches!(it, Target::Item(..)));
                let items: BTreeSet<Target> = items.cloned().collect();
                let made = modules.iter().map(|it| Target::Item(*it, name.clone()));
                return if items.is_empty() {
                    made.collect()
                } else {
                    items
                };
            }
            found = next;
            rest = after;
        }
        found
    }

    fn parent(&self, module: usize) -> Option<Target> {
        self.tree.modules[module].parent.map(Target::Module)
    }

    /// What a name in a module stands for, as far as the module `from` sees it.
    fn look_up(
        &self,
        module: usize,
        name: &str,
        from: usize,
        trail: &mut Trail,
    ) -> BTreeSet<Target> {
        let this = &self.tree.modules[module];
        let inside = self.is_inside(from, module);
        let children = this.children.get(name).into_iter().flatten();
        let mut found: BTreeSet<Target> = children.map(|it| Target::Module(*it)).collect();
        if this.items.get(name).is_some_and(|public| *public || inside) {
            found.insert(Target::Item(module, name.to_owned()));
        }
        let step = (module, name.to_owned());
        if trail.contains(&step) {
            return found;
        }
        trail.push(step);
        let visible = |import: &&Import| import.is_public || inside;
        let (named, globs): (Vec<&Import>, Vec<&Import>) = this
            .imports
            .iter()
            .filter(visible)
            .partition(|import| import.name.is_some());
        for import in named {
            if import.name.as_deref() == Some(name) {
                let targets = self.resolve(module, &import.path, trail);
                if targets.is_empty() {
                    // From another crate: from here, it is had from this file.
                    found.insert(Target::Item(module, name.to_owned()));
                }
                found.extend(targets);
            }
        }
        if found.is_empty() {
            for glob in globs {
                for target in self.resolve(module, &glob.path, trail) {
                    if let Target::Module(behind) = target {
                        found.extend(self.look_up(behind, name, module, trail));
                    }
                }
            }
        }
        trail.pop();
        found
    }

    fn is_inside(&self, mut module: usize, outer: usize) -> bool {
        while module != outer {
            match self.tree.modules[module].parent {
                Some(parent) => module = parent,
                None => return false,
            }
        }
        true
    }
}
