//! A directory as it was at one moment, in memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::scratch::remove_dir;
use crate::tree::{Content, Found, Identity, Kind, Metadata, Writer, walk};

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    /// If it is a file.
    pub(super) content: Option<Content>,
    /// The first name of the same node, if it is not this one.
    same_as: Option<Arc<Path>>,
}

/// A name in an image, and what stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'i> {
    pub(crate) name: &'i Path,
    node: &'i Arc<Node>,
}

impl<'i> Entry<'i> {
    pub(crate) fn kind(&self) -> &'i Kind {
        &self.node.kind
    }

    pub(crate) fn metadata(&self) -> &'i Metadata {
        &self.node.metadata
    }

    /// If it is a file.
    pub(crate) fn content(&self) -> Option<&'i Content> {
        self.node.content.as_ref()
    }

    /// The first name of the same node: this one, or another.
    pub(crate) fn first_name(&self) -> &'i Path {
        self.node.same_as.as_deref().unwrap_or(self.name)
    }

    /// Whether nothing can have changed between the two: they are one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.node, other.node)
    }
}

/// Names relative to the directory, and what stands there: what belongs to it, and what is compared, says
/// [`tree`](crate::tree). Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image(Arc<State>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// The directory itself, if this image was read.
    root: Option<Metadata>,
    nodes: BTreeMap<Arc<Path>, Arc<Node>>,
}

/// The names of each file.
pub(super) type Names = HashMap<Identity, Vec<Arc<Path>>>;

impl Image {
    /// Reads a directory. What has not changed since `before` shares its memory.
    pub(crate) fn read(dir: &Path, before: &Self) -> io::Result<Self> {
        Self::read_with_names(dir, before).map(|(image, _)| image)
    }

    /// The same, with the names of each file.
    pub(super) fn read_with_names(dir: &Path, before: &Self) -> io::Result<(Self, Names)> {
        let content = |found: &Found<'_>| {
            let known = before.node(found.name);
            Content::read(&found.open()?, known.and_then(|node| node.content.as_ref()))
        };
        Self::read_with(dir, content)
    }

    /// Reads a directory, with the contents of files from `content`.
    pub(super) fn read_with(
        dir: &Path,
        content: impl Fn(&Found<'_>) -> io::Result<Content>,
    ) -> io::Result<(Self, Names)> {
        let mut nodes = BTreeMap::new();
        let mut names = Names::new();
        let root = walk(dir, &mut |found| {
            let name: Arc<Path> = found.name.into();
            let is_file = found.kind == Kind::File;
            let content = is_file.then(|| content(&found)).transpose()?;
            if is_file || found.is_linked {
                let names = names.entry(found.identity).or_default();
                names.push(Arc::clone(&name));
            }
            let node = Node {
                kind: found.kind,
                metadata: found.metadata,
                content,
                same_as: None,
            };
            nodes.insert(name, node);
            Ok(())
        })?;
        for names in names.values_mut() {
            names.sort_unstable();
            if let Some((first, others)) = names.split_first() {
                for name in others {
                    let node = nodes.get_mut(name).expect("it was found");
                    node.same_as = Some(Arc::clone(first));
                }
            }
        }
        let nodes = nodes.into_iter();
        let state = State {
            root: Some(root),
            nodes: nodes.map(|(name, node)| (name, Arc::new(node))).collect(),
        };
        Ok((Self(Arc::new(state)), names))
    }

    pub(super) fn node(&self, name: &Path) -> Option<&Node> {
        self.0.nodes.get(name).map(|node| &**node)
    }

    /// Changes what stands under a name. There is something.
    pub(super) fn node_mut(&mut self, name: &Path) -> &mut Node {
        let nodes = &mut Arc::make_mut(&mut self.0).nodes;
        Arc::make_mut(nodes.get_mut(name).expect("it has a node"))
    }

    /// Makes `dir` hold this image and nothing else.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        remove_dir(dir)?;
        let mut writer = Writer::new(dir)?;
        // A directory sorts before what is in it, and the first name of a node before the others.
        for (name, node) in &self.0.nodes {
            if let Some(first) = &node.same_as {
                writer.link(first, name)?;
                continue;
            }
            writer.make(name, &node.kind, Some(&node.metadata), |file| {
                let content = node.content.as_ref();
                content.map_or(Ok(()), |content| content.write(file))
            })?;
        }
        writer.finish(self.0.root.as_ref())
    }

    /// Everything in it, a directory before what is in it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.0.nodes.iter().map(|(name, node)| Entry { name, node })
    }

    pub(crate) fn entry(&self, name: &Path) -> Option<Entry<'_>> {
        let (name, node) = self.0.nodes.get_key_value(name)?;
        Some(Entry { name, node })
    }

    /// The metadata of the directory itself, if this image was read.
    pub(crate) fn root(&self) -> Option<&Metadata> {
        self.0.root.as_ref()
    }

    /// Whether nothing can have changed between the two: they are one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// This image with everything under a name under another one, in place of what was there.
    pub(crate) fn with_moved(&self, from: &Path, to: &Path) -> Self {
        let moved = |name: &Path| -> Option<Arc<Path>> {
            match name.strip_prefix(from) {
                // Joining nothing would add a slash.
                Ok(below) if below.as_os_str().is_empty() => Some(to.into()),
                Ok(below) => Some(to.join(below).into()),
                Err(_) => (!name.starts_with(to)).then(|| name.into()),
            }
        };
        let nodes = self.0.nodes.iter();
        let nodes = nodes.filter_map(|(name, node)| Some((moved(name)?, Arc::clone(node))));
        Self(Arc::new(State {
            root: self.0.root.clone(),
            nodes: nodes.collect(),
        }))
    }

    /// This image with what another one has under a name, in place of what is there.
    pub(crate) fn with_part(&self, other: &Self, name: &Path) -> Self {
        let mine = self.0.nodes.iter();
        let mine = mine.filter(|(known, _)| !known.starts_with(name));
        let theirs = other.0.nodes.iter();
        let theirs = theirs.filter(|(known, _)| known.starts_with(name));
        let nodes = mine.chain(theirs);
        Self(Arc::new(State {
            root: self.0.root.clone(),
            nodes: nodes
                .map(|(name, node)| (Arc::clone(name), Arc::clone(node)))
                .collect(),
        }))
    }

    /// What is under a name alone, under another name, and without the bytes of some of the files.
    pub(crate) fn part(&self, from: &Path, to: &Path, without: &[PathBuf]) -> Self {
        let nodes = self.0.nodes.iter();
        let nodes = nodes.filter(|(name, _)| name.starts_with(from));
        let mut part = Self(Arc::new(State {
            root: None,
            nodes: nodes
                .map(|(name, node)| (Arc::clone(name), Arc::clone(node)))
                .collect(),
        }));
        for name in without {
            part.node_mut(name).content = Some(Content::empty());
        }
        part.with_moved(from, to)
    }

    /// This image with a file's bytes as they are in `new`, in a range.
    pub(crate) fn with_written(&self, name: &Path, new: &Self, range: Range<u64>) -> Option<Self> {
        let [old, new] = [self, new].map(|image| image.node(name)?.content.as_ref());
        let content = old?.with(new?, range);
        let mut image = self.clone();
        image.node_mut(name).content = Some(content);
        Some(image)
    }

    /// This image with a file as it is in `before`, but for a range of bytes, under all its names. `None`
    /// if it is not a file in both.
    pub(crate) fn with_part_written(
        &self,
        name: &Path,
        before: &Self,
        range: Range<u64>,
    ) -> Option<Self> {
        let [old, new] = [before, self].map(|image| image.node(name)?.content.as_ref());
        let content = old?.with(new?, range);
        let node = self.node(name).expect("it is a file");
        let first = node.same_as.clone().unwrap_or_else(|| name.into());
        let has_it = |(name, node): (&Arc<Path>, &Arc<Node>)| {
            let is_it = *name == first || node.same_as.as_ref() == Some(&first);
            is_it.then(|| Arc::clone(name))
        };
        let names: Vec<Arc<Path>> = self.0.nodes.iter().filter_map(has_it).collect();
        let mut image = self.clone();
        for name in names {
            image.node_mut(&name).content = Some(content.clone());
        }
        Some(image)
    }

    /// A file's bytes.
    #[cfg(test)]
    pub(crate) fn file(&self, name: &Path) -> Option<Vec<u8>> {
        self.node(name)?.content.as_ref().map(Content::bytes)
    }

    /// Tells images apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        // The same in every process: the hasher has fixed keys.
        let mut hasher = DefaultHasher::new();
        self.0.root.hash(&mut hasher);
        for (name, node) in &self.0.nodes {
            (name, &node.kind, &node.metadata, &node.same_as).hash(&mut hasher);
            node.content.as_ref().map(Content::hash).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The names under which two images differ; `.` is the directory itself.
    pub(crate) fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let (mine, theirs) = (&self.0.nodes, &other.0.nodes);
        let root = (self.0.root != other.0.root).then(|| PathBuf::from("."));
        let changed = mine
            .iter()
            .filter(|(name, node)| theirs.get(*name) != Some(node));
        let added = theirs.iter().filter(|(name, _)| !mine.contains_key(*name));
        let names = changed.chain(added).map(|(name, _)| name.to_path_buf());
        root.into_iter().chain(names).collect()
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
        let changed = first.differences(&second);
        assert_eq!(changed, ["sub/file", "new"].map(PathBuf::from));
        first.write(&dir).expect("written");
        let again = Image::read(&dir, &second).expect("read");
        assert_eq!(again, first);
        assert_eq!(again.fingerprint(), first.fingerprint());
        assert!(again.differences(&first).is_empty());
        let part = second.with_part_written(Path::new("sub/file"), &first, 0..2);
        let part = part.expect("it is a file in both");
        part.write(&dir).expect("written");
        assert_eq!(fs::read(dir.join("sub/file")).expect("read"), b"twe");
    }
}
