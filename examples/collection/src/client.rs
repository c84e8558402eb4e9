//! A client: calls with plain values.

use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::proto::collection_client::CollectionClient;
use crate::proto::{
    FlushRequest, Id, InsertRequest, RemoveRequest, SearchRequest, StatsRequest, StatsResponse,
};
use crate::search::{Found, Hit};

/// Answers can be long: thousands of hits with their vectors.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection to a server. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: CollectionClient<InterceptedService<Channel, ShowToken>>,
}

/// How to connect.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// What to show the server.
    pub token: Option<String>,
    /// The authority that has signed the server's certificate, PEM, for `https://`.
    #[cfg(feature = "tls")]
    pub authority: Option<Vec<u8>>,
}

impl Client {
    /// Connects to a server, such as `http://127.0.0.1:7450`.
    ///
    /// # Errors
    /// If the address or the token is malformed, or nobody answers.
    pub async fn connect(
        server: &str,
        options: ConnectOptions,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let endpoint = Endpoint::from_shared(server.to_owned())?
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true);
        #[cfg(feature = "tls")]
        let endpoint = match options.authority {
            Some(authority) => {
                let authority = tonic::transport::Certificate::from_pem(authority);
                let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(authority);
                endpoint.tls_config(tls)?
            }
            None => endpoint,
        };
        let connected = endpoint.connect().await;
        let channel =
            connected.map_err(|error| format!("cannot connect to {server}: {}", chain(&error)))?;
        let token = options.token.map(|token| format!("Bearer {token}"));
        let token: Option<AsciiMetadataValue> = token.map(|token| token.parse()).transpose()?;
        let grpc = CollectionClient::with_interceptor(channel, ShowToken(token))
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { grpc })
    }

    /// Makes documents visible to users; returns the operation's sequence number.
    ///
    /// # Errors
    /// As the server says.
    pub async fn insert(
        &mut self,
        docs: &[u128],
        users: &[u128],
        vectors: Vec<f32>,
    ) -> Result<u64, Status> {
        let request = InsertRequest {
            doc_ids: ids(docs),
            user_ids: ids(users),
            vectors,
        };
        Ok(self.grpc.insert(request).await?.into_inner().seq)
    }

    /// Takes documents away from users; returns the operation's sequence number.
    ///
    /// # Errors
    /// As the server says.
    pub async fn remove(&mut self, docs: &[u128], users: &[u128]) -> Result<u64, Status> {
        let request = RemoveRequest {
            doc_ids: ids(docs),
            user_ids: ids(users),
        };
        Ok(self.grpc.remove(request).await?.into_inner().seq)
    }

    /// The nearest documents. See [`Collection::search`](crate::Collection::search).
    ///
    /// # Errors
    /// As the server says.
    pub async fn search(
        &mut self,
        user: u128,
        vector: Vec<f32>,
        k: u32,
        seen: Option<u64>,
        with_vectors: bool,
    ) -> Result<Found, Status> {
        let request = SearchRequest {
            user_id: Some(user.into()),
            vector,
            k,
            seen,
            with_vectors,
        };
        let answer = self.grpc.search(request).await?.into_inner();
        let hits = answer.hits.into_iter().map(|hit| {
            let doc = hit.doc_id.as_ref().map(u128::from);
            let doc = doc.ok_or_else(|| Status::internal("a hit without a document"))?;
            Ok(Hit {
                doc,
                distance: hit.distance,
                vector: with_vectors.then_some(hit.vector),
            })
        });
        Ok(Found {
            hits: hits.collect::<Result<_, Status>>()?,
            seen_below: answer.seen_below,
        })
    }

    /// Moves everything acknowledged from memory and log into a segment file; returns the position.
    ///
    /// # Errors
    /// As the server says.
    pub async fn flush(&mut self) -> Result<u64, Status> {
        Ok(self
            .grpc
            .flush(FlushRequest {})
            .await?
            .into_inner()
            .position)
    }

    /// What the server holds and has done.
    ///
    /// # Errors
    /// As the server says.
    pub async fn stats(&mut self) -> Result<StatsResponse, Status> {
        Ok(self.grpc.stats(StatsRequest {}).await?.into_inner())
    }
}

/// Shows the token with every request.
#[derive(Clone, Debug)]
struct ShowToken(Option<AsciiMetadataValue>);

impl tonic::service::Interceptor for ShowToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

fn ids(ids: &[u128]) -> Vec<Id> {
    ids.iter().map(|id| Id::from(*id)).collect()
}

/// An error with all of its causes: the outermost says `transport error`, and nothing else.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    words.join(": ")
}
