//! A directory as it was at one moment, in memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use crate::scratch::remove_dir;
use crate::tree::{Content, Identity, Kind, Metadata, Writer, walk};

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    metadata: Metadata,
    /// If it is a file.
    content: Option<Content>,
    /// The first name of the same node, if it is not this one.
    same_as: Option<PathBuf>,
}

/// Names relative to the directory, and what stands there: what belongs to it, and what is compared, says
/// [`tree`](crate::tree).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// The directory itself, if this image was read.
    root: Option<Metadata>,
    nodes: BTreeMap<PathBuf, Node>,
}

impl Image {
    /// Reads a directory. What has not changed since `before` shares its memory.
    pub(crate) fn read(dir: &Path, before: &Self) -> io::Result<Self> {
        let mut nodes = BTreeMap::new();
        let mut names: HashMap<Identity, Vec<PathBuf>> = HashMap::new();
        let root = walk(dir, &mut |found| {
            let content = found.file.map(|open| {
                let known = before.nodes.get(found.name);
                let known = known.and_then(|node| node.content.as_ref());
                Content::read(&open.file, open.len, open.allocated, known)
            });
            let node = Node {
                kind: found.kind,
                metadata: found.metadata,
                content: content.transpose()?,
                same_as: None,
            };
            nodes.insert(found.name.to_owned(), node);
            if let Some(identity) = found.identity {
                names
                    .entry(identity)
                    .or_default()
                    .push(found.name.to_owned());
            }
            Ok(())
        })?;
        for mut names in names.into_values() {
            names.sort_unstable();
            if let Some((first, others)) = names.split_first() {
                for name in others {
                    let node = nodes.get_mut(name).expect("it was found");
                    node.same_as = Some(first.clone());
                }
            }
        }
        Ok(Self {
            root: Some(root),
            nodes,
        })
    }

    /// Makes `dir` hold this image and nothing else.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        remove_dir(dir)?;
        let mut writer = Writer::new(dir)?;
        // A directory sorts before what is in it, and the first name of a node before the others.
        for (name, node) in &self.nodes {
            if let Some(first) = &node.same_as {
                writer.link(first, name)?;
                continue;
            }
            writer.make(name, &node.kind, Some(&node.metadata), |file| {
                let content = node.content.as_ref();
                content.map_or(Ok(()), |content| content.write(file))
            })?;
        }
        writer.finish(self.root.as_ref())
    }

    /// A file's bytes.
    pub(crate) fn file(&self, name: &Path) -> Option<&[u8]> {
        let node = self.nodes.get(name)?;
        node.content.as_ref().map(Content::bytes)
    }

    /// This image with other bytes in one file, under all its names.
    pub(crate) fn with_file(&self, name: &Path, bytes: Vec<u8>) -> Self {
        let content = Some(Content::new(bytes));
        let mut image = self.clone();
        let Some(node) = image.nodes.get(name) else {
            let node = Node {
                kind: Kind::File,
                metadata: Metadata::default(),
                content,
                same_as: None,
            };
            image.nodes.insert(name.to_owned(), node);
            return image;
        };
        let first = node.same_as.clone().unwrap_or_else(|| name.to_owned());
        for (name, node) in &mut image.nodes {
            if *name == first || node.same_as.as_ref() == Some(&first) {
                node.content.clone_from(&content);
            }
        }
        image
    }

    /// Tells images apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        // The same in every process: the hasher has fixed keys.
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        for (name, node) in &self.nodes {
            (name, &node.kind, &node.metadata, &node.same_as).hash(&mut hasher);
            node.content.as_ref().map(Content::hash).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The first name under which two images differ; `.` is the directory itself.
    pub(crate) fn difference(&self, other: &Self) -> Option<PathBuf> {
        if self.root != other.root {
            return Some(".".into());
        }
        let names = self.nodes.keys().chain(other.nodes.keys());
        names
            .filter(|name| self.nodes.get(*name) != other.nodes.get(*name))
            .min()
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
