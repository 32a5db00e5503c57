//! The daemon's face for applications that ask over HTTP: the routes of docs/HTTP.md, on the functions and views that
//! docs/SQL.md describes. It knows nothing that these do not.
//!
//! It must never harm a backup: it has connections of its own to the queue, all that it reads is bounded, and if it
//! cannot listen, backups go on.

mod access;
mod answer;
mod cancel;
mod contents;
mod create;
mod daemons;
mod events;
mod feed;
mod files;
mod health;
mod id;
mod job;
mod jobs;
mod last_answer;
mod list;
mod metrics;
mod monitoring;
mod operator;
mod overview;
mod page;
mod problem;
mod reads;
mod rights;
mod routes;
mod server;
mod service;
mod socket;
mod status;
mod tables;
mod tls;

pub use answer::BackupAnswer;
pub use contents::{Contents, ContentsError, TableEntry, Tables};
pub use problem::{PREFIX, ProblemType};

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use uuid::Uuid;

use crate::config::{HttpConfig, Listen};
use crate::finding::Finding;
use crate::metrics::Counters;
use crate::queue::Applications;
use server::Server;
use service::{Service, Shared};
use socket::Socket;

/// Between two tries to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);

/// How long a check waits for its connection.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The OpenAPI document of the routes, as JSON.
pub fn document() -> serde_json::Value {
    serde_json::to_value(routes::document()).unwrap_or_default()
}

/// The listener, before it runs.
pub struct Http {
    shared: Arc<Shared>,
    questions: reads::Questions,
    config: watch::Receiver<HttpConfig>,
}

impl Http {
    /// Of the queue with this id. Follows its configuration, also to another address. `drain` is cancelled when the
    /// daemon claims no more.
    pub fn new(
        applications: Applications,
        counters: Arc<Counters>,
        queue_id: Uuid,
        contents: Arc<dyn Contents>,
        config: watch::Receiver<HttpConfig>,
        drain: CancellationToken,
    ) -> Self {
        let (reads, questions) = reads::reads();
        let shared = Shared {
            applications,
            reads,
            feed: feed::Feed::default(),
            counters,
            metrics: last_answer::LastAnswer::default(),
            overviews: feed::Feed::default(),
            contents,
            queue_id,
            drain,
        };
        Self {
            shared: Arc::new(shared),
            questions,
            config,
        }
    }

    /// Answers requests until `shutdown`, if there is an address to listen on. `tried` is cancelled once it has tried to
    /// listen.
    pub async fn run(self, tried: CancellationToken, shutdown: CancellationToken) {
        let Self {
            shared,
            questions,
            mut config,
        } = self;
        let connections = TaskTracker::new();
        let reading = questions.answer(shared.applications.clone());
        let feeding = shared.feed.run(&shared.applications);
        let overviews = overview::run(&shared.overviews, &shared.applications);
        let listening = async {
            loop {
                let current = config.borrow_and_update().clone();
                let Some(tls) = loaded_tls(&current) else {
                    tried.cancel();
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        changed = config.changed() => if changed.is_err() { return },
                    }
                    continue;
                };
                let stop = shutdown.child_token();
                let listening = listen(&shared, current, tls, &stop, &connections, &tried);
                let mut listening = pin!(listening);
                loop {
                    tokio::select! {
                        () = listening.as_mut() => return,
                        changed = config.changed() => if changed.is_err() { return },
                    }
                    // With a certificate that cannot be used, what listens goes on with the old one.
                    if loaded_tls(&config.borrow_and_update().clone()).is_some() {
                        break;
                    }
                }
                // Tokens that do not count any more have no connection left.
                stop.cancel();
            }
        };
        tokio::select! {
            () = listening => {}
            () = reading => {}
            () = feeding => {}
            () = overviews => {}
        }
        connections.close();
        connections.wait().await;
    }
}

/// Answers requests until `stop`. While it cannot listen, it tries again.
async fn listen(
    shared: &Arc<Shared>,
    config: HttpConfig,
    tls: Option<TlsAcceptor>,
    stop: &CancellationToken,
    connections: &TaskTracker,
    tried: &CancellationToken,
) {
    let Some(address) = &config.listen else {
        tried.cancel();
        return stop.cancelled().await;
    };
    let mut is_first = true;
    let socket = loop {
        match Socket::bind(address, config.socket_mode).await {
            Ok(socket) => break socket,
            Err(error) if is_first => {
                error!(
                    error.hint = socket::advice(&error, address),
                    "cannot listen on {address} (http.listen): {error}; backups go on, and it is tried again"
                );
            }
            Err(_) => {}
        }
        is_first = false;
        tried.cancel();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LISTEN_AGAIN) => {}
        }
    };
    let mut limits = config.limits.clone();
    limits.connections = files::allowed(limits.connections);
    info!(
        http.listen = socket.address(),
        http.tls = tls.is_some(),
        http.tokens = config.tokens.len(),
        "listening for requests over HTTP"
    );
    tried.cancel();
    let service = Service::new(Arc::clone(shared), &config, stop.clone());
    let server = Server {
        router: routes::router(Arc::new(service), &config.origins),
        tls,
        limits,
        stop: stop.clone(),
    };
    server.run(socket, connections).await;
}

const TLS_HINT: &str = "Correct http.certificate_file and http.key_file, and reload the daemon.";

/// The certificate, if there is to be one; `None` if it cannot be used, which is logged.
fn loaded_tls(config: &HttpConfig) -> Option<Option<TlsAcceptor>> {
    match config.tls.as_ref().map(tls::acceptor).transpose() {
        Ok(tls) => Some(tls),
        Err(error) => {
            error!(
                error.hint = TLS_HINT,
                "HTTP cannot use its certificate; backups go on: {}",
                error.report()
            );
            None
        }
    }
}

/// What `[http]` means, and whether somebody listens there. Nothing, if nobody is to listen.
pub async fn check(config: &HttpConfig) -> Vec<Finding> {
    let Some(address) = &config.listen else {
        return Vec::new();
    };
    if let Some(Err(error)) = config.tls.as_ref().map(tls::acceptor) {
        return vec![Finding::error("http_tls_unusable", error.report()).hint(TLS_HINT)];
    }
    let tokens = match config.tokens.len() {
        0 => "no tokens: whoever reaches it may do everything".to_owned(),
        1 => "1 token".to_owned(),
        many => format!("{many} tokens"),
    };
    let tls = match (&config.tls, config.behind_proxy) {
        (Some(_), _) => "TLS",
        (None, true) => "TLS by a proxy",
        (None, false) => "no TLS",
    };
    let connecting = async {
        match address {
            Listen::Tcp(address) => TcpStream::connect(address).await.map(drop),
            Listen::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    let why = match timeout(CHECK_TIMEOUT, connecting).await {
        Ok(Ok(())) => {
            let what = format!("listening on {address}, with {tls}, {tokens}");
            return vec![Finding::ok(what)];
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
    };
    let what = format!("nobody listens on {address} ({tls}, {tokens}): {why}");
    vec![
        Finding::warning("http_not_listening", what)
            .hint("If a daemon with this configuration runs, its log says why it does not listen."),
    ]
}
