//! Serves a collection: who may connect, how much at once, and an orderly end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::collection::Collection;
use crate::proto::DESCRIPTORS;
use crate::proto::collection_server::CollectionServer;
use crate::service::Service;

/// After the signal to end, requests in progress are given so long.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// Who may connect, and how much at once.
#[derive(Clone)]
pub struct ServeOptions {
    /// What a client has to show, as `authorization: Bearer TOKEN`.
    pub token: Option<String>,
    /// Certificate and key of the server, PEM.
    #[cfg(feature = "tls")]
    pub tls: Option<(Vec<u8>, Vec<u8>)>,
    /// Requests in progress, over all connections; others wait, unread.
    pub requests_max: usize,
    /// Largest request, in bytes. Requests in progress take so much each, at worst.
    pub request_bytes_max: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            token: None,
            #[cfg(feature = "tls")]
            tls: None,
            requests_max: 4096,
            request_bytes_max: 2 << 20,
        }
    }
}

impl ServeOptions {
    fn keeps_strangers_out(&self) -> bool {
        #[cfg(feature = "tls")]
        let has_tls = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let has_tls = false;
        has_tls || self.token.is_some()
    }

    /// Refuses to serve everybody everything.
    ///
    /// # Errors
    /// If the address can be reached from outside this machine, and there is neither token nor TLS.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), String> {
        if address.ip().is_loopback() || self.keeps_strangers_out() {
            return Ok(());
        }
        Err(format!(
            "{address} can be reached from outside this machine: give a token (--token-file), or TLS \
             (--tls-cert and --tls-key, in a build with the feature `tls`), or listen on 127.0.0.1"
        ))
    }
}

/// Serves until `shutdown`, lets what is in progress end, and closes the collection.
///
/// # Errors
/// If the address may not be served so, the server fails, or the collection cannot be closed.
pub async fn serve(
    collection: Arc<Collection>,
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    options.check_address(listener.local_addr()?)?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<CollectionServer<Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let service = CollectionServer::new(Service {
        collection: Arc::clone(&collection),
        health: health.clone(),
    })
    .max_decoding_message_size(options.request_bytes_max);
    let check = token_check(options.token.clone());

    let server = Server::builder();
    #[cfg(feature = "tls")]
    let server = match options.tls {
        Some((certificate, key)) => {
            let identity = tonic::transport::Identity::from_pem(certificate, key);
            server.tls_config(tonic::transport::ServerTlsConfig::new().identity(identity))?
        }
        None => server,
    };
    let streams = u32::try_from(options.requests_max).unwrap_or(u32::MAX);
    let router = server
        .max_concurrent_streams(streams)
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .layer(GlobalConcurrencyLimitLayer::new(options.requests_max))
        // Whether the server lives may be asked by anybody.
        .add_service(health_service)
        .add_service(InterceptedService::new(reflection, check.clone()))
        .add_service(InterceptedService::new(service, check));

    let (stop, stopped) = oneshot::channel::<()>();
    // Answers are not held back until the client has acknowledged the one before.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = router.serve_with_incoming_shutdown(incoming, async move {
        // Also if the sender is dropped.
        drop(stopped.await);
    });
    let mut serving = Box::pin(serving);
    let outcome = tokio::select! {
        ended = &mut serving => ended,
        () = shutdown => {
            health.set_not_serving::<CollectionServer<Service>>().await;
            drop(stop);
            // Whoever is still connected then only watches.
            timeout(SHUTDOWN_MAX, serving).await.unwrap_or(Ok(()))
        }
    };
    collection.close().await?;
    Ok(outcome?)
}

/// Lets requests through that show the token.
fn token_check(
    token: Option<String>,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + Send + Sync + 'static {
    let expected = token.map(|token| format!("Bearer {token}").into_bytes());
    move |request| {
        let Some(expected) = &expected else {
            return Ok(request);
        };
        let shown = request.metadata().get("authorization");
        let shown = shown.map_or(&[][..], |value| value.as_bytes());
        // In a time that does not tell how much of it is right.
        if bool::from(shown.ct_eq(expected)) {
            Ok(request)
        } else {
            Err(Status::unauthenticated(
                "authorization: the token is missing or wrong",
            ))
        }
    }
}
