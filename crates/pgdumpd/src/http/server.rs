//! Connections: how many, how long each may take for what, and their end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::socket::{Connection, Socket, is_of_one_connection};
use crate::config::HttpLimits;

/// How long requests may still take when the listener stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Between two tries to accept while the system refuses.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// A request's line and header together, in bytes.
const LARGEST_HEADER: usize = 16 * 1024;

/// Lines of a request's header.
const MOST_HEADERS: usize = 64;

/// What each connection is served with.
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: HttpLimits,
    /// Ends it, and its connections.
    pub(super) stop: CancellationToken,
}

impl Server {
    /// Accepts connections until it is stopped. Each is a task of `connections`.
    pub(super) async fn run(self, socket: Socket, connections: &TaskTracker) {
        let server = Arc::new(self);
        let slots = Arc::new(Semaphore::new(server.limits.connections));
        let mut refused = false;
        loop {
            // Further connections wait in the system's queue.
            let slot = tokio::select! {
                () = server.stop.cancelled() => return,
                slot = Arc::clone(&slots).acquire_owned() => slot,
            };
            let accepted = tokio::select! {
                () = server.stop.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok(connection) => {
                    refused = false;
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        server.serve(connection).await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !refused {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "connections over HTTP cannot be accepted; trying again"
                        );
                    }
                    refused = true;
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    async fn serve(&self, connection: Connection) {
        let patience = self.limits.header_timeout;
        let connection: Connection = match &self.tls {
            None => connection,
            Some(tls) => match timeout(patience, tls.accept(connection)).await {
                Ok(Ok(encrypted)) => Box::new(encrypted),
                Ok(Err(error)) => {
                    debug!(%error, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            },
        };
        let service = TowerToHyperService::new(self.router.clone());
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(LARGEST_HEADER)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(connection), service);
        let mut serving = pin!(serving);
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                timeout(DRAIN, serving).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = served {
            // A client that goes, or sends what is not HTTP, costs its own connection.
            debug!(%error, "a connection over HTTP broke off");
        }
    }
}
