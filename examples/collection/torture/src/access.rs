//! The way to a collection: through its server, or directly.

use std::sync::Arc;

use collection::client::Client;
use collection::{Collection, Error, Found};
use plugpull::SubjectError;
use tonic::{Code, Status};

use crate::documents::{self, Layout, Whole, users};

/// A search that must find everything.
pub(super) const HITS_MAX: u32 = 1 << 16;

#[derive(Clone)]
pub(super) enum Access {
    Remote(Client),
    Local(Arc<Collection>),
}

/// What is known of an operation that has failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// It has not taken place.
    CertainlyNot(SubjectError),
    /// It may or may not have taken place.
    Unknown(SubjectError),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument | Code::ResourceExhausted => Self::CertainlyNot(status.into()),
            _ => Self::Unknown(status.into()),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if error.invalid_field().is_some() || error.is_disk_full() || error.is_overloaded() {
            Self::CertainlyNot(error.into())
        } else {
            Self::Unknown(error.into())
        }
    }
}

impl From<Failed> for SubjectError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::CertainlyNot(error) | Failed::Unknown(error) => error,
        }
    }
}

impl Access {
    pub(super) async fn insert(
        &self,
        docs: Vec<u128>,
        users: [u128; 2],
        vectors: Vec<f32>,
    ) -> Result<u64, Failed> {
        Ok(match self {
            Self::Remote(client) => client.clone().insert(&docs, &users, vectors).await?,
            Self::Local(collection) => collection.insert(&docs, &users, &vectors).await?,
        })
    }

    pub(super) async fn remove(&self, docs: Vec<u128>, users: [u128; 2]) -> Result<u64, Failed> {
        Ok(match self {
            Self::Remote(client) => client.clone().remove(&docs, &users).await?,
            Self::Local(collection) => collection.remove(&docs, &users).await?,
        })
    }

    pub(super) async fn flush(&self) -> Result<u64, Failed> {
        Ok(match self {
            Self::Remote(client) => client.clone().flush().await?,
            Self::Local(collection) => collection.flush().await?,
        })
    }

    /// A request that must be refused: one that would break recovery, if it were logged.
    pub(super) async fn provoke(&self, layout: Layout, key: u64, id: u64) -> Result<u64, Failed> {
        let mut vectors = layout.vectors(id, &[]);
        match id % 3 {
            0 => vectors[1] = f32::NAN,
            // Of another dimension, in numbers that the log would take.
            1 => vectors.truncate(vectors.len() / 2),
            _ => drop(vectors.pop()),
        }
        self.insert(documents::docs(key), users(key), vectors).await
    }

    async fn search(
        &self,
        user: u128,
        vector: Vec<f32>,
        k: u32,
        seen: Option<u64>,
    ) -> Result<Found, Failed> {
        Ok(match self {
            Self::Remote(client) => client.clone().search(user, vector, k, seen, true).await?,
            Self::Local(collection) => {
                collection
                    .search(user, &vector, k as usize, seen, true)
                    .await?
            }
        })
    }

    /// Everything that a user can see, by a search.
    pub(super) async fn all(
        &self,
        layout: Layout,
        user: u128,
        seen: Option<u64>,
    ) -> Result<Vec<Whole>, SubjectError> {
        let anything = vec![0.0; layout.dimension() as usize];
        let found = match self.search(user, anything, HITS_MAX, seen).await {
            Ok(found) => found,
            // Nobody has inserted anything for the user.
            Err(Failed::CertainlyNot(error)) if error.to_string().contains("unknown") => {
                return Ok(Vec::new());
            }
            Err(failed) => return Err(failed.into()),
        };
        let hits = found.hits.into_iter();
        let documents = hits.map(|hit| (hit.doc, hit.vector.unwrap_or_default()));
        Ok(Layout::assemble(documents.collect())?)
    }

    /// A document must be found as the nearest to its own vector. Another one may be as near: a copy.
    pub(super) async fn check_nearest(&self, whole: &Whole) -> Result<(), SubjectError> {
        let vector = whole.vector.clone();
        let found = self.search(documents::EVERYBODY, vector, 1, None).await?;
        let doc = documents::docs(whole.key)[0];
        match found.hits.first() {
            Some(hit) if hit.doc == doc && hit.distance == 0.0 => Ok(()),
            other => Err(format!(
                "document {doc:#x} is there and is not the nearest to itself: {other:?}"
            )
            .into()),
        }
    }
}
