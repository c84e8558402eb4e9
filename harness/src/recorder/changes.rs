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
pub(crate) fn changes(old: &Image, new: &Image) -> io::Result<Vec<Act>> {
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
            Some(before) => changed(&mut acts, &path, &before, &entry),
            None => made(&mut acts, entry, &path, new, was_there)?,
        }
    }
    Ok(acts)
}

/// What makes one node of another of the same kind.
fn changed(acts: &mut Vec<Act>, path: &str, old: &Entry<'_>, new: &Entry<'_>) {
    if let (Some(old), Some(new)) = (old.content(), new.content()) {
        contents(acts, path, old, new);
    }
    settings(acts, path, old.metadata(), new.metadata());
}

/// A new name: of a node that has others, or of a new one.
fn made<'i>(
    acts: &mut Vec<Act>,
    entry: Entry<'_>,
    path: &str,
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
        acts.push(Act::Link {
            from,
            to: path.to_owned(),
        });
        // Its bytes and attributes may have changed meanwhile: they are told of the first name.
        if let Some(before) = was_there(other.name).filter(|_| first == entry.name) {
            changed(acts, path, &before, &entry);
        }
        return Ok(());
    }
    acts.push(Act::Create {
        path: path.to_owned(),
        kind: entry.kind().clone(),
        metadata: entry.metadata().clone(),
    });
    if let Some(content) = entry.content() {
        contents(acts, path, &Content::empty(), content);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A store to a mapping, and a new name that comes first: the bytes were once not told.
    #[test]
    fn a_file_that_gets_another_first_name_is_told_with_its_bytes() {
        let tmp = tempfile::tempdir().expect("a directory");
        let at = |name: &str| tmp.path().join(name);
        fs::write(at("b"), "before").expect("written");
        let old = Image::read(tmp.path(), &Image::default()).expect("read");
        fs::write(at("b"), "after!").expect("written");
        fs::hard_link(at("b"), at("a")).expect("linked");
        let new = Image::read(tmp.path(), &old).expect("read");
        let acts = changes(&old, &new).expect("UTF-8");
        let is_told = |act: &Act| matches!(act, Act::Write { bytes, .. } if &*bytes.0 == b"after!");
        assert!(matches!(&acts[0], Act::Link { .. }), "{acts:?}");
        assert!(is_told(&acts[1]), "{acts:?}");
    }
}
