//! What one file says: the names it defines, imports and uses, module by module.

use std::collections::BTreeMap;

use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, Meta, UseTree, Visibility};

use crate::tokens;

/// A module as it is written.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// What it defines, and whether that is visible outside.
    pub(crate) items: BTreeMap<String, bool>,
    pub(crate) imports: Vec<Import>,
    /// All that is named in its code.
    pub(crate) paths: Vec<Vec<String>>,
    pub(crate) children: Vec<Child>,
}

/// One leaf of a `use`.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name that it has here; none for a glob, which brings them all.
    pub(crate) name: Option<String>,
    pub(crate) is_public: bool,
}

/// A `mod`.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    /// What `#[path]` says.
    pub(crate) path: Option<String>,
    /// If its text stands in the same file.
    pub(crate) inline: Option<Source>,
}

impl Source {
    pub(crate) fn parse(text: &str) -> syn::Result<Self> {
        Ok(Self::of(&syn::parse_file(text)?.items))
    }

    fn of(items: &[Item]) -> Self {
        let mut reader = Reader::default();
        for item in items {
            reader.visit_item(item);
        }
        reader.source
    }
}

#[derive(Default)]
struct Reader {
    source: Source,
    /// Within how many blocks this is: what is defined there has no path.
    depth: u32,
}

impl Reader {
    fn define(&mut self, name: &Ident, visibility: &Visibility) {
        if self.depth == 0 {
            let items = &mut self.source.items;
            let is_public = items.entry(name.unraw().to_string()).or_default();
            *is_public |= is_visible(visibility);
        }
    }

    fn import(&mut self, mut prefix: Vec<String>, tree: &UseTree, is_public: bool) {
        let (last, name) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.unraw().to_string());
                return self.import(prefix, &path.tree, is_public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(prefix.clone(), tree, is_public);
                }
                return;
            }
            UseTree::Name(name) => (Some(&name.ident), Some(&name.ident)),
            UseTree::Rename(rename) => (Some(&rename.ident), Some(&rename.rename)),
            UseTree::Glob(_) => (None, None),
        };
        prefix.extend(last.map(|last| last.unraw().to_string()));
        let mut name = name.map(|name| name.unraw().to_string());
        // `use a::b::{self}` imports `b`.
        if prefix.len() > 1 && prefix.last().is_some_and(|last| last == "self") {
            prefix.pop();
            if name.as_deref() == Some("self") {
                name = prefix.last().cloned();
            }
        }
        let import = Import {
            path: prefix,
            name,
            is_public,
        };
        self.source.imports.push(import);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Const(item) => self.define(&item.ident, &item.vis),
            Item::Enum(item) => self.define(&item.ident, &item.vis),
            Item::Fn(item) => self.define(&item.sig.ident, &item.vis),
            Item::Static(item) => self.define(&item.ident, &item.vis),
            Item::Struct(item) => self.define(&item.ident, &item.vis),
            Item::Trait(item) => self.define(&item.ident, &item.vis),
            Item::Type(item) => self.define(&item.ident, &item.vis),
            Item::Union(item) => self.define(&item.ident, &item.vis),
            Item::Macro(item) => {
                let made = tokens::definitions(&item.mac.tokens);
                let public = Visibility::Public(syn::token::Pub::default());
                match &item.ident {
                    Some(name) => self.define(name, &Visibility::Inherited),
                    None => made.iter().for_each(|name| self.define(name, &public)),
                }
            }
            Item::Use(item) => {
                // No module has an item of this name, nor has this crate what is meant.
                let prefix = item.leading_colon.iter().map(|_| "extern".to_owned());
                let prefix = prefix.collect();
                return self.import(prefix, &item.tree, is_visible(&item.vis));
            }
            Item::Mod(item) => {
                let content = item.content.as_ref();
                self.source.children.push(Child {
                    name: item.ident.unraw().to_string(),
                    path: item.attrs.iter().find_map(path_of),
                    inline: content.map(|(_, items)| Source::of(items)),
                });
                return;
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.depth += 1;
        visit::visit_block(self, block);
        self.depth -= 1;
    }

    /// `pub(in path)` names where an item is seen, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter();
            let segments = segments.map(|segment| segment.ident.unraw().to_string());
            self.source.paths.push(segments.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.source.paths.extend(tokens::paths(&call.tokens));
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.source.paths.extend(tokens::paths(&list.tokens));
            // `#[serde(with = "module")]`
            if list.path.is_ident("serde") {
                let quoted = tokens::quoted_paths(&list.tokens);
                self.source.paths.extend(quoted);
            }
        }
    }
}

fn is_visible(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}

fn path_of(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(literal) if pair.path.is_ident("path") => match &literal.lit {
            syn::Lit::Str(path) => Some(path.value()),
            _ => None,
        },
        _ => None,
    }
}
