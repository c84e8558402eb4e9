//! A directory that a user gave to begin with, on the simulated file system.

use std::io;
use std::sync::Arc;

use crate::image::Image;
use crate::plan::Plan;
use crate::recorder::changes;
use crate::sim::{Act, Disk, Profile};
use crate::store::image_of;
use crate::tree::Kind;

/// What makes the store of a directory that was given. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared(Arc<[Act]>);

impl Prepared {
    /// What a torture begins with in this directory of the root.
    ///
    /// # Errors
    /// If the directory that was given cannot be read, or one of its names is not UTF-8.
    pub(super) fn of(plan: &Plan, dir: &str) -> io::Result<Self> {
        let Some(given) = &plan.image else {
            return Ok(Self::default());
        };
        let image = image_of(given)?;
        let dir = dir.trim_start_matches('/');
        let mut acts = vec![Act::Create {
            path: dir.to_owned(),
            kind: Kind::Dir,
            metadata: image.root().cloned().unwrap_or_default(),
        }];
        let inside = changes(&Image::default(), &image)?.into_iter();
        acts.extend(inside.map(|act| below(dir, act)));
        Ok(Self(acts.into()))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// What a store finds.
    pub(super) fn disk(&self, profile: Profile) -> io::Result<Disk> {
        Disk::prepared(profile, &self.0)
    }
}

/// What makes a directory, done in a directory of another one.
fn below(dir: &str, mut act: Act) -> Act {
    let move_down = |path: &mut String| {
        *path = match path.as_str() {
            "" => dir.to_owned(),
            name => format!("{dir}/{name}"),
        };
    };
    match &mut act {
        Act::Create { path, .. }
        | Act::Write { path, .. }
        | Act::SetLen { path, .. }
        | Act::Set { path, .. } => move_down(path),
        Act::Link { from, to } => {
            move_down(from);
            move_down(to);
        }
        _ => unreachable!("nothing is taken away from an empty directory"),
    }
    act
}
