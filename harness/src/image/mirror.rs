//! A directory and its image, kept up to date by what is known of the changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::directory::{Image, Names};
use crate::tree::{Content, Found, Identity, find};

/// How often files that change all the time are read, until two reads are the same.
const READS_MAX: usize = 64;

/// A directory and its image. Nothing is read again that has not changed.
///
/// What it is told must be complete: which files were written, and that something else was done.
#[derive(Debug)]
pub(crate) struct Mirror {
    dir: PathBuf,
    image: Image,
    /// Of files, and of whatever else has several.
    names: Names,
}

impl Mirror {
    /// Reads a directory. What is the same in `before` shares its memory.
    pub(crate) fn new(dir: &Path, before: &Image) -> io::Result<Self> {
        let mut mirror = Self {
            dir: dir.to_owned(),
            image: before.clone(),
            names: Names::new(),
        };
        mirror.read_all()?;
        Ok(mirror)
    }

    pub(crate) fn image(&self) -> Image {
        self.image.clone()
    }

    pub(crate) fn has_name(&self, file: Identity, name: &Path) -> bool {
        let names = self.names.get(&file);
        names.is_some_and(|names| names.iter().any(|known| &**known == name))
    }

    /// One of a file's names; `None` if it has none here.
    pub(crate) fn name(&self, file: Identity) -> Option<PathBuf> {
        let first = self.names.get(&file)?.first()?;
        Some(first.to_path_buf())
    }

    /// The files under a name, each with its first name. `None` if one has a name that is not under it.
    pub(crate) fn files_under(&self, name: &Path) -> Option<Vec<(Identity, PathBuf)>> {
        let mut files = Vec::new();
        for (file, names) in &self.names {
            let under = names.iter().filter(|known| known.starts_with(name)).count();
            if under > 0 && under < names.len() {
                return None;
            }
            if under > 0 {
                files.push((*file, names[0].to_path_buf()));
            }
        }
        Some(files)
    }

    /// Everything may have changed.
    pub(crate) fn read_all(&mut self) -> io::Result<()> {
        (self.image, self.names) = Image::read_with_names(&self.dir, &self.image)?;
        Ok(())
    }

    /// Names, attributes or lengths may have changed, but no bytes.
    pub(crate) fn look_around(&mut self) -> io::Result<()> {
        let content = |found: &Found<'_>| {
            let known = self.content(found.identity);
            match known.filter(|content| content.len() == found.len) {
                Some(content) => Ok(content.clone()),
                None => Content::read(&found.open()?, known),
            }
        };
        (self.image, self.names) = Image::read_with(&self.dir, content)?;
        Ok(())
    }

    /// A range of a file was written; nothing outside of it but the length has changed.
    pub(crate) fn written(&mut self, file: Identity, range: Range<u64>) -> io::Result<()> {
        self.update(file, |found, known| {
            let mut content = known.clone();
            content.read_again(&found.open()?, range.clone())?;
            Ok(content)
        })
    }

    /// Any bytes of a file may have changed.
    pub(crate) fn changed(&mut self, file: Identity) -> io::Result<()> {
        self.update(file, |found, known| {
            Content::read(&found.open()?, Some(known))
        })
    }

    /// Any bytes of these files may change at any moment, also now: reads them as they were together at
    /// one moment since the call began.
    ///
    /// A read takes time, and a thread that stores to a mapping does not wait for it: page 1 may be read
    /// before a store to it, and page 2 after a later store to that one. Where two reads in a row are the
    /// same, everything was so at the moment between them.
    ///
    /// # Errors
    /// If they never stand still.
    pub(crate) fn settle(&mut self, files: &BTreeSet<Identity>) -> io::Result<()> {
        for _ in 0..READS_MAX {
            let before = self.contents(files);
            for file in files {
                self.changed(*file)?;
            }
            if self.contents(files) == before {
                return Ok(());
            }
        }
        let names: Vec<String> = files
            .iter()
            .filter_map(|file| Some(self.names.get(file)?.first()?.display().to_string()))
            .collect();
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "the store changes {} through a shared mapping all the time, so that no moment of it can be \
                 copied: it cannot be examined under trace, use `kill` or `disk`",
                names.join(" and ")
            ),
        ))
    }

    fn content(&self, file: Identity) -> Option<&Content> {
        let name = self.names.get(&file)?.first()?;
        self.image.node(name)?.content.as_ref()
    }

    fn contents(&self, files: &BTreeSet<Identity>) -> BTreeMap<Identity, Content> {
        let content = |file: &Identity| Some((*file, self.content(*file)?.clone()));
        files.iter().filter_map(content).collect()
    }

    /// Gives a file new content and attributes, under all its names. A file that has no name here has no
    /// part in the image.
    fn update(
        &mut self,
        file: Identity,
        content: impl FnOnce(&Found<'_>, &Content) -> io::Result<Content>,
    ) -> io::Result<()> {
        let Some(names) = self.names.get(&file) else {
            return Ok(());
        };
        let first = &names[0];
        let path = self.dir.join(first);
        let found = find(&path, first)?;
        let known = self
            .image
            .node(first)
            .and_then(|node| node.content.as_ref());
        let (Some(known), true) = (known, found.identity == file) else {
            return Err(io::Error::other(format!(
                "{} was replaced by a call that was not seen",
                path.display()
            )));
        };
        let content = content(&found, known)?;
        for name in names {
            let node = self.image.node_mut(name);
            node.content = Some(content.clone());
            node.metadata = found.metadata.clone();
        }
        Ok(())
    }
}
