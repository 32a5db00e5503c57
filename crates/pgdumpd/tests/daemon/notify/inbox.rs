//! A receiver over HTTP that keeps what it gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use pgdumpd_testkit::eventually;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::harness::{SOON, World, quoted};

/// What was posted.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Posted {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }
}

type Kept = Arc<Mutex<Vec<Posted>>>;

/// A receiver that listens.
pub(crate) struct Inbox {
    pub(crate) address: SocketAddr,
    kept: Kept,
    status: Arc<Mutex<StatusCode>>,
}

async fn keep(
    State((kept, status)): State<(Kept, Arc<Mutex<StatusCode>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)));
    kept.lock().unwrap().push(Posted {
        path: uri.to_string(),
        headers: headers.collect(),
        body: body.to_vec(),
    });
    (*status.lock().unwrap(), "noted\u{1b}[31m")
}

impl Inbox {
    pub(crate) async fn new() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub(crate) async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let status = Arc::new(Mutex::new(StatusCode::OK));
        let state = (Arc::clone(&kept), Arc::clone(&status));
        let router = Router::new().fallback(keep).with_state(state);
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self {
            address,
            kept,
            status,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub(crate) fn answer(&self, status: StatusCode) {
        *self.status.lock().unwrap() = status;
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.kept.lock().unwrap().clone()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.posted().iter().map(Posted::event).collect()
    }

    /// Waits until this many have come.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Posted> {
        eventually(&format!("{count} messages have come"), SOON, async || {
            Some(self.posted()).filter(|posted| posted.len() >= count)
        })
        .await
    }
}

/// One request a connection: enough for a test, and without the feature of axum that nothing else needs.
async fn axum_serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
            let _ = serving.await;
        });
    }
}

/// Gives the daemons that start from now on a receiver.
pub(crate) fn set_receiver(world: &mut World, name: &str, url: &str, format: &str) {
    let section = format!("notify.{name}");
    world.set(&section, "url", quoted(url));
    world.set(&section, "format", quoted(format));
}

/// Waits until nothing waits to be sent, and gives how many were sent and given up.
pub(crate) async fn settled(world: &World) -> (i64, i64) {
    eventually("nothing waits to be sent", SOON, async || {
        let (waiting, sent, given_up): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE sent_at IS NULL AND gave_up_at IS NULL), count(sent_at), count(gave_up_at)
             FROM pgdumpd.notifications",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        (waiting == 0).then_some((sent, given_up))
    })
    .await
}

/// A backup that fails at its first attempt, for good.
pub(crate) async fn fail(world: &World) -> uuid::Uuid {
    let id = uuid::Uuid::now_v7();
    sqlx::query("INSERT INTO pgdumpd.backup_jobs (id, target, spec) VALUES ($1, 'shop', $2)")
        .bind(id)
        .bind(serde_json::json!({"tables": ["public.nowhere"]}))
        .execute(&world.pool)
        .await
        .unwrap();
    world.failed(id).await;
    id
}
