//! `GET daemons`: the daemons of this queue, and what their own checks found.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Admin;
use super::answer::iso;
use super::problem::{Problem, ProblemType};
use super::service::Service;
use crate::queue::DaemonStatus;

/// The daemons.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DaemonsAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// First those that are alive.
    daemons: Vec<DaemonSummary>,
}

/// A daemon.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DaemonSummary {
    /// Random for each start.
    id: String,
    /// Its host.
    host: String,
    /// Its process there.
    pid: i32,
    /// Of pgdumpd.
    version: String,
    /// `alive`, `stopping` or `gone`.
    state: String,
    /// Backups that it runs.
    running_jobs: i64,
    /// Backups that it may run at the same time.
    max_jobs: i32,
    /// Copies that it makes.
    running_copies: i64,
    /// Copies that it may make at the same time.
    max_copies: i32,
    /// The targets that it serves.
    targets: Vec<String>,
    /// The storages of its configuration.
    storages: Vec<String>,
    /// When it started.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it last sent a heartbeat.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// When its checks ended.
    #[schema(required, format = DateTime)]
    checked_at: Option<String>,
    /// What they found, errors first.
    checks: Vec<Check>,
}

/// One thing that was checked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Check {
    /// Such as `queue`, `target shop`, `storage local`.
    subject: String,
    /// `ok`, `warning` or `error`.
    severity: String,
    /// A stable word.
    code: String,
    /// What was found.
    what: String,
    /// What to do.
    #[serde(default)]
    #[schema(required)]
    hint: Option<String>,
}

/// The daemons and their checks
///
/// For a token with the scope `admin` that is for all targets.
#[utoipa::path(
    get, path = "/daemons", operation_id = "daemons", tag = "operator",
    responses((status = 200, description = "The daemons", body = DaemonsAnswer)),
)]
pub(super) async fn daemons(
    State(service): State<Arc<Service>>,
    Admin(identity): Admin,
) -> Result<impl IntoResponse, Problem> {
    if identity.targets().is_some() {
        let why = "the token is for some targets alone, and daemons serve others, too";
        return Err(Problem::new(ProblemType::Forbidden, why));
    }
    let daemons = service.shared.applications.daemons().await;
    let answer = DaemonsAnswer {
        success: true,
        daemons: daemons?.into_iter().map(DaemonSummary::from).collect(),
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

impl From<DaemonStatus> for DaemonSummary {
    fn from(daemon: DaemonStatus) -> Self {
        Self {
            id: daemon.id.to_string(),
            host: daemon.host,
            pid: daemon.pid,
            version: daemon.version,
            state: daemon.state,
            running_jobs: daemon.running_jobs,
            max_jobs: daemon.max_jobs,
            running_copies: daemon.running_copies,
            max_copies: daemon.max_copies,
            targets: daemon.targets,
            storages: daemon.storages,
            started_at: iso(daemon.started_at),
            last_seen_at: iso(daemon.last_seen_at),
            checked_at: daemon.checked_at.map(iso),
            checks: checks(daemon.checks),
        }
    }
}

/// A daemon of another version may have stored what this one does not know: that is left out.
fn checks(stored: Option<serde_json::Value>) -> Vec<Check> {
    #[derive(Deserialize)]
    struct Stored {
        findings: Vec<serde_json::Value>,
    }
    let stored = stored.and_then(|stored| serde_json::from_value::<Stored>(stored).ok());
    let findings = stored.map(|stored| stored.findings).unwrap_or_default();
    let mut checks: Vec<Check> = findings
        .into_iter()
        .filter_map(|finding| serde_json::from_value(finding).ok())
        .collect();
    checks.sort_by_key(|check| match check.severity.as_str() {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    });
    checks
}
