//! A directory as it was at one moment, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::scratch::remove_dir;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(Content),
}

/// A file's bytes, shared by all images in which they are the same.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Arc<[u8]>,
    hash: u64,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        // The same in every process: the hasher has fixed keys.
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self {
            bytes: bytes.into(),
            hash: hasher.finish(),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
            || (self.hash == other.hash && self.bytes == other.bytes)
    }
}

impl Eq for Content {}

/// Names relative to the directory, and what stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(BTreeMap<PathBuf, Node>);

impl Image {
    /// Reads a directory. What has not changed since `before` shares its memory.
    pub(crate) fn read(dir: &Path, before: &Self) -> io::Result<Self> {
        let mut image = Self::default();
        image.read_into(dir, Path::new(""), before)?;
        Ok(image)
    }

    fn read_into(&mut self, root: &Path, relative: &Path, before: &Self) -> io::Result<()> {
        for entry in fs::read_dir(root.join(relative))? {
            let entry = entry?;
            let name = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.0.insert(name.clone(), Node::Dir);
                self.read_into(root, &name, before)?;
                continue;
            }
            let bytes = fs::read(entry.path())?;
            let content = match before.0.get(&name) {
                Some(Node::File(known)) if *known.bytes == *bytes => known.clone(),
                _ => Content::new(bytes),
            };
            self.0.insert(name, Node::File(content));
        }
        Ok(())
    }

    /// Makes `dir` hold this image and nothing else.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        remove_dir(dir)?;
        fs::create_dir_all(dir)?;
        // A directory sorts before what is in it.
        self.0.iter().try_for_each(|(name, node)| match node {
            Node::Dir => fs::create_dir(dir.join(name)),
            Node::File(content) => fs::write(dir.join(name), &content.bytes),
        })
    }

    /// A file's bytes.
    pub(crate) fn file(&self, name: &Path) -> Option<&[u8]> {
        match self.0.get(name)? {
            Node::File(content) => Some(&content.bytes),
            Node::Dir => None,
        }
    }

    /// This image with other bytes in one file.
    pub(crate) fn with_file(&self, name: &Path, bytes: Vec<u8>) -> Self {
        let mut image = self.clone();
        image
            .0
            .insert(name.to_owned(), Node::File(Content::new(bytes)));
        image
    }

    /// Tells images apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (name, node) in &self.0 {
            name.hash(&mut hasher);
            match node {
                Node::Dir => u64::MAX.hash(&mut hasher),
                Node::File(content) => content.hash.hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// The first name under which two images differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<PathBuf> {
        let names = self.0.keys().chain(other.0.keys());
        names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .min()
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_brings_a_directory_back_and_tells_what_changed() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dir = tmp.path().join("store");
        fs::create_dir_all(dir.join("sub")).expect("created");
        fs::write(dir.join("sub/file"), b"one").expect("written");
        fs::write(dir.join("other"), b"").expect("written");
        let first = Image::read(&dir, &Image::default()).expect("read");
        fs::write(dir.join("sub/file"), b"two").expect("written");
        fs::write(dir.join("new"), b"x").expect("written");
        let second = Image::read(&dir, &first).expect("read");
        assert_ne!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.difference(&second), Some("new".into()));
        first.write(&dir).expect("written");
        let again = Image::read(&dir, &second).expect("read");
        assert_eq!(again, first);
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert_eq!(again.difference(&first), None);
        let patched = first.with_file(Path::new("sub/file"), b"two".to_vec());
        assert_eq!(
            patched.file(Path::new("sub/file")),
            second.file(Path::new("sub/file"))
        );
    }
}
