//! Which server a command talks to.

use std::path::PathBuf;

use clap::Args;

use super::secrets::read_token;
use crate::client::{Client, ConnectOptions};

const SERVER: &str = "http://127.0.0.1:7450";

/// How to reach the server.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// Where the server is.
    #[arg(long, default_value = SERVER)]
    server: String,
    /// A file with the token that the server asks for.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// For https: the certificate of the authority that has signed the server's, PEM.
    #[cfg(feature = "tls")]
    #[arg(long)]
    tls_ca: Option<PathBuf>,
}

impl ServerArgs {
    pub(super) async fn connect(&self) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let options = ConnectOptions {
            token: self.token_file.as_deref().map(read_token).transpose()?,
            #[cfg(feature = "tls")]
            authority: self
                .tls_ca
                .as_deref()
                .map(super::secrets::read)
                .transpose()?,
        };
        Client::connect(&self.server, options).await
    }
}
