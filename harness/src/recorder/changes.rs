//! What was done between two looks at a directory, as far as it can be seen.

use std::io;
use std::path::Path;

use crate::image::{Entry, Image};
use crate::sim::{Act, Bytes, Setting};
use crate::tree::{Content, Metadata};

/// The changes that make one image of another. Names are removed first, then made, then changed: what
/// moved from one name to another in between is not recognised.
///
/// # Errors
/// If a name is not UTF-8.
pub(super) fn changes(old: &Image, new: &Image) -> io::Result<Vec<Act>> {
    let mut acts = Vec::new();
    if old.is_same(new) {
        return Ok(acts);
    }
    if let Some(metadata) = new.root() {
        let unset = Metadata::default();
        settings(&mut acts, "", old.root().unwrap_or(&unset), metadata);
    }
    // What has another kind is another node.
    let stays = |entry: &Entry<'_>| {
        let now = new.entry(entry.name);
        now.is_some_and(|now| now.kind() == entry.kind())
    };
    let gone: Vec<Entry<'_>> = old.entries().filter(|entry| !stays(entry)).collect();
    // What is in a directory before the directory.
    for entry in gone.iter().rev() {
        let path = text(entry.name)?;
        acts.push(Act::Remove { path });
    }
    let was_there = |name: &Path| old.entry(name).filter(stays);
    for entry in new.entries() {
        let path = text(entry.name)?;
        match was_there(entry.name) {
            Some(before) if before.is_same(&entry) => {}
            // Its bytes and attributes change once.
            Some(_) if entry.first_name() != entry.name => {}
            Some(before) => {
                if let (Some(old), Some(new)) = (before.content(), entry.content()) {
                    contents(&mut acts, &path, old, new);
                }
                settings(&mut acts, &path, before.metadata(), entry.metadata());
            }
            None => made(&mut acts, entry, path, new, was_there)?,
        }
    }
    Ok(acts)
}

/// A new name: of a node that has others, or of a new one.
fn made<'i>(
    acts: &mut Vec<Act>,
    entry: Entry<'_>,
    path: String,
    new: &'i Image,
    was_there: impl Fn(&Path) -> Option<Entry<'i>>,
) -> io::Result<()> {
    let first = entry.first_name();
    let is_other = |other: &Entry<'_>| other.name != entry.name && other.first_name() == first;
    // A name that was there, or one that was made just now.
    let is_made = |other: &Entry<'_>| other.name < entry.name || was_there(other.name).is_some();
    let other = new
        .entries()
        .find(|other| is_other(other) && is_made(other));
    if let Some(other) = other {
        let from = text(other.name)?;
        acts.push(Act::Link { from, to: path });
        return Ok(());
    }
    acts.push(Act::Create {
        path: path.clone(),
        kind: entry.kind().clone(),
        metadata: entry.metadata().clone(),
    });
    if let Some(content) = entry.content() {
        contents(acts, &path, &Content::empty(), content);
    }
    Ok(())
}

/// What makes one content of another: a file that has become longer was written there, as far as it is not
/// zeros.
fn contents(acts: &mut Vec<Act>, path: &str, old: &Content, new: &Content) {
    let mut len = old.len();
    let set_len = |acts: &mut Vec<Act>, len| {
        acts.push(Act::SetLen {
            path: path.to_owned(),
            len,
        });
    };
    if new.len() < len {
        len = new.len();
        set_len(acts, len);
    }
    for piece in old.pieces_changed_in(new) {
        len = len.max(piece.end);
        acts.push(Act::Write {
            path: path.to_owned(),
            offset: piece.start,
            bytes: Bytes(new.range(piece).into()),
        });
    }
    if len != new.len() {
        set_len(acts, new.len());
    }
}

/// What makes one node's metadata of another's. Times are not compared.
fn settings(acts: &mut Vec<Act>, path: &str, old: &Metadata, new: &Metadata) {
    let mut settings = Vec::new();
    if old.mode != new.mode {
        settings.extend(new.mode.map(Setting::Mode));
    }
    let owner = new.owner.filter(|_| old.owner != new.owner);
    let group = new.group.filter(|_| old.group != new.group);
    if owner.is_some() || group.is_some() {
        settings.push(Setting::Owner(owner, group));
    }
    for (name, value) in &new.xattrs {
        if old.xattrs.get(name) != Some(value) {
            settings.push(Setting::Xattr(name.clone(), value.clone()));
        }
    }
    let gone = old
        .xattrs
        .keys()
        .filter(|name| !new.xattrs.contains_key(*name));
    settings.extend(gone.cloned().map(Setting::NoXattr));
    acts.extend(settings.into_iter().map(|setting| Act::Set {
        path: path.to_owned(),
        setting,
    }));
}

/// # Errors
/// If it is not UTF-8.
pub(super) fn text(name: &Path) -> io::Result<String> {
    name.to_str().map(str::to_owned).ok_or_else(|| {
        let why = format!(
            "{}: power loss under trace needs names in UTF-8; use `disk`",
            name.display()
        );
        io::Error::new(io::ErrorKind::Unsupported, why)
    })
}
