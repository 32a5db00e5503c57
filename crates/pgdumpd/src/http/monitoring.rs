//! `GET monitoring`: what is queued or running, and the targets to choose from.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use pgdumpd_client::{KnownTarget, MonitoredJob};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Reader;
use super::answer::{State as JobState, iso};
use super::problem::Problem;
use super::service::Service;
use crate::config::Scope;

/// The most jobs of one answer.
const MOST: u32 = 1000;

/// What is queued or running, and the targets to choose from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MonitoringAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// First what runs, then what has waited longest; at most 1,000.
    backups: Vec<MonitoredBackup>,
    /// By name.
    targets: Vec<Target>,
}

/// A job that is queued or running.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MonitoredBackup {
    /// The job.
    id: String,
    /// The target's name.
    target: String,
    /// `backup` or `copy`.
    kind: String,
    /// Of a copy: the backup's job.
    #[schema(required)]
    copy_of: Option<String>,
    /// Of a copy: the storage that it goes to.
    #[schema(required)]
    copy_to: Option<String>,
    /// `queued` or `running`.
    state: JobState,
    /// What the attempt is doing.
    #[schema(required)]
    phase: Option<String>,
    /// Percent, 0 to 100.
    progress: f32,
    /// Such as `1 of 2`: storages that hold the backup, of those that will.
    copies: String,
    /// 1 is next; 20 means 20 or more.
    #[schema(required)]
    queue_position: Option<i64>,
    /// Why a queued job does not run yet.
    #[schema(required)]
    waits_because: Option<String>,
    /// When anything of this last changed.
    #[schema(format = DateTime)]
    last_update: String,
    /// Running since, or waiting since.
    #[schema(format = DateTime)]
    since: String,
    /// The daemon that runs it; null without the scope `admin`.
    #[schema(required)]
    worker_id: Option<String>,
    /// Its host; null without the scope `admin`.
    #[schema(required)]
    worker_host: Option<String>,
    /// Its process; null without the scope `admin`.
    #[schema(required)]
    worker_pid: Option<i32>,
    /// When it last sent a heartbeat.
    #[schema(required, format = DateTime)]
    worker_last_seen_at: Option<String>,
    /// If it is in the past, another daemon will take the job over.
    #[schema(required, format = DateTime)]
    lease_expires_at: Option<String>,
    /// Whether no daemon that is alive can do it.
    unserved: bool,
}

/// A target that can be asked for, or that has a backup.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    /// Its name.
    target: String,
    /// How many daemons that are alive serve it; with 0, a backup of it waits.
    daemons: i64,
    /// Its newest backup.
    #[schema(required)]
    last_success_id: Option<String>,
    /// When that ended.
    #[schema(required, format = DateTime)]
    last_success_at: Option<String>,
}

impl MonitoredBackup {
    /// Hosts and processes are the operator's.
    fn of(job: MonitoredJob, shows_daemons: bool) -> Self {
        Self {
            id: job.id.to_string(),
            target: job.target,
            kind: job.kind.as_str().to_owned(),
            copy_of: job.copy_of.map(|id| id.to_string()),
            copy_to: job.copy_to,
            state: job.state.into(),
            phase: job.phase,
            progress: job.progress,
            copies: job.copies,
            queue_position: job.queue_position,
            waits_because: job.waits_because,
            last_update: iso(job.last_update),
            since: iso(job.since),
            worker_id: job
                .worker_id
                .filter(|_| shows_daemons)
                .map(|id| id.to_string()),
            worker_host: job.worker_host.filter(|_| shows_daemons),
            worker_pid: job.worker_pid.filter(|_| shows_daemons),
            worker_last_seen_at: job.worker_last_seen_at.map(iso),
            lease_expires_at: job.lease_expires_at.map(iso),
            unserved: job.unserved,
        }
    }
}

impl From<KnownTarget> for Target {
    fn from(known: KnownTarget) -> Self {
        Self {
            target: known.target,
            daemons: known.daemons,
            last_success_id: known.last_success_id.map(|id| id.to_string()),
            last_success_at: known.last_success_at.map(iso),
        }
    }
}

/// What is queued or running
///
/// And the targets to choose from: those that a daemon serves, or that have a backup.
#[utoipa::path(
    get, path = "/monitoring", operation_id = "monitoring", tag = "backup",
    responses((status = 200, description = "What is queued or running", body = MonitoringAnswer)),
)]
pub(super) async fn monitoring(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
) -> Result<impl IntoResponse, Problem> {
    let applications = &service.shared.applications;
    let targets = || identity.targets().map(<[String]>::to_vec);
    let jobs = applications.monitoring(targets(), MOST).await;
    let jobs = jobs.map_err(Problem::from)?;
    let known = applications.known_targets(targets()).await;
    let known = known.map_err(Problem::from)?;
    let shows_daemons = identity.has(Scope::Admin);
    let answer = MonitoringAnswer {
        success: true,
        backups: jobs
            .into_iter()
            .map(|job| MonitoredBackup::of(job, shows_daemons))
            .collect(),
        targets: known.into_iter().map(Target::from).collect(),
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}
