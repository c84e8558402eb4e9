//! The gRPC edge: messages to calls, errors to statuses.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};
use tonic_health::server::HealthReporter;

use crate::collection::Collection;
use crate::error::Error;
use crate::proto;
use crate::proto::collection_server::CollectionServer;

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) collection: Arc<Collection>,
    /// Is told when only a restart helps.
    pub(crate) health: HealthReporter,
}

impl Service {
    /// What a caller is to make of an error.
    async fn status(&self, error: Error) -> Status {
        if error.is_unavailable() {
            self.health
                .set_not_serving::<CollectionServer<Self>>()
                .await;
        }
        status_of(&error)
    }
}

fn status_of(error: &Error) -> Status {
    let code = if error.invalid_field().is_some() {
        Code::InvalidArgument
    } else if error.is_disk_full() || error.is_overloaded() {
        Code::ResourceExhausted
    } else if error.is_unavailable() || error.is_outcome_unknown() || error.is_stalled() {
        Code::Unavailable
    } else if error.is_corruption() {
        Code::DataLoss
    } else {
        Code::Internal
    };
    Status::new(code, error.to_string())
}

fn ids(ids: &[proto::Id]) -> Vec<u128> {
    ids.iter().map(u128::from).collect()
}

#[tonic::async_trait]
impl proto::collection_server::Collection for Service {
    async fn insert(
        &self,
        request: Request<proto::InsertRequest>,
    ) -> Result<Response<proto::InsertResponse>, Status> {
        let request = request.into_inner();
        let (docs, users) = (ids(&request.doc_ids), ids(&request.user_ids));
        let inserted = self
            .collection
            .insert(&docs, &users, &request.vectors)
            .await;
        match inserted {
            Ok(seq) => Ok(Response::new(proto::InsertResponse { seq })),
            Err(error) => Err(self.status(error).await),
        }
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveRequest>,
    ) -> Result<Response<proto::RemoveResponse>, Status> {
        let request = request.into_inner();
        let (docs, users) = (ids(&request.doc_ids), ids(&request.user_ids));
        match self.collection.remove(&docs, &users).await {
            Ok(seq) => Ok(Response::new(proto::RemoveResponse { seq })),
            Err(error) => Err(self.status(error).await),
        }
    }

    async fn search(
        &self,
        request: Request<proto::SearchRequest>,
    ) -> Result<Response<proto::SearchResponse>, Status> {
        let request = request.into_inner();
        let user = request.user_id.as_ref().map(u128::from);
        let user = user.ok_or_else(|| Status::invalid_argument("user_id: it is missing"))?;
        let k = usize::try_from(request.k).unwrap_or(usize::MAX);
        let (seen, with_vectors) = (request.seen, request.with_vectors);
        let search = self
            .collection
            .search(user, &request.vector, k, seen, with_vectors);
        match search.await {
            Ok(found) => Ok(Response::new(proto::SearchResponse {
                hits: found.hits.into_iter().map(hit).collect(),
                seen_below: found.seen_below,
            })),
            Err(error) => Err(self.status(error).await),
        }
    }

    async fn flush(
        &self,
        _: Request<proto::FlushRequest>,
    ) -> Result<Response<proto::FlushResponse>, Status> {
        match self.collection.flush().await {
            Ok(position) => Ok(Response::new(proto::FlushResponse { position })),
            Err(error) => Err(self.status(error).await),
        }
    }

    async fn stats(
        &self,
        _: Request<proto::StatsRequest>,
    ) -> Result<Response<proto::StatsResponse>, Status> {
        let stats = self.collection.stats().await;
        let segments = stats.segments.into_iter();
        Ok(Response::new(proto::StatsResponse {
            dimension: stats.config.dimension,
            metric: stats.config.metric.to_string(),
            durable_seq: stats.durable_seq,
            visible_seq: stats.visible_seq,
            flushed_seq: stats.flushed_seq,
            trimmed_seq: stats.trimmed_seq,
            segments: segments
                .map(|(id, rows, bytes)| proto::SegmentStats { id, rows, bytes })
                .collect(),
            memory_rows: stats.memory_rows as u64,
            memory_bytes: stats.memory_bytes as u64,
            log_groups: stats.log_groups,
            flush_error: stats
                .flush_error
                .map_or_else(String::new, |error| error.to_string()),
        }))
    }
}

fn hit(hit: crate::Hit) -> proto::Hit {
    proto::Hit {
        doc_id: Some(hit.doc.into()),
        distance: hit.distance,
        vector: hit.vector.unwrap_or_default(),
    }
}
