//! `GET jobs/{id}`: one job, its attempts, and where its backup is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use pgdumpd_client::{JobKind, JobStatus, ListFilter};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Identity, Reader};
use super::answer::iso;
use super::id::PathId;
use super::operator::Job;
use super::problem::Problem;
use super::service::Service;
use crate::config::Scope;
use crate::queue::{Attempt, StorageOfBackup};

/// The most jobs that copy one backup: the newest.
const MOST_COPIES: u32 = 100;

/// One job, with what belongs to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The job.
    job: Job,
    /// Each claim of it, the oldest first; of more than 200, the newest.
    attempts: Vec<AttemptSummary>,
    /// Each storage that has, or had, the backup.
    storages: Vec<StoredCopy>,
    /// The jobs that copy the backup, newest first.
    copies: Vec<Job>,
}

/// One attempt, from claim to end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttemptSummary {
    /// Its number; one that was handed back uncounted has that of the next.
    attempt: i16,
    /// When it was claimed.
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ended.
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
    /// `running`, `succeeded`, `failed`, `cancelled`, `released` or `lost`.
    outcome: String,
    /// When the job was due again after it.
    #[schema(required, format = DateTime)]
    requeued_for: Option<String>,
    /// The step that failed.
    #[schema(required)]
    error_step: Option<String>,
    /// A stable word, of docs/ERRORS.md.
    #[schema(required)]
    error_code: Option<String>,
    /// What went wrong.
    #[schema(required)]
    error: Option<String>,
    /// The daemon's host; null without the scope `admin`.
    #[schema(required)]
    host: Option<String>,
}

/// A storage that has, or had, the backup.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StoredCopy {
    /// The storage's name then.
    storage: String,
    /// `stored`, `deleting` or `deleted`.
    state: String,
    /// Of the object.
    size_bytes: i64,
    /// When it was stored.
    #[schema(format = DateTime)]
    stored_at: String,
    /// When it was last found to be whole.
    #[schema(required, format = DateTime)]
    last_proved_at: Option<String>,
    /// When it was deleted.
    #[schema(required, format = DateTime)]
    deleted_at: Option<String>,
}

/// One job, its attempts and its copies
///
/// Of a copy, the storages are those of its backup.
#[utoipa::path(
    get, path = "/jobs/{id}", operation_id = "job", tag = "operator",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = JobAnswer)),
)]
pub(super) async fn job(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    id: PathId,
) -> Result<impl IntoResponse, Problem> {
    let applications = &service.shared.applications;
    let job = service.of_path(&identity, &id).await?;
    let attempts = applications.attempts(job.id).await?;
    let backup = job.copy_of.unwrap_or(job.id);
    let storages = applications.storages_of_backup(backup).await?;
    let copies = match job.kind {
        JobKind::Backup => applications.list(copies_of(&job)).await?,
        _ => Vec::new(),
    };
    let shows_daemons = identity.has(Scope::Admin);
    let answer = JobAnswer {
        success: true,
        attempts: attempts
            .into_iter()
            .map(|attempt| AttemptSummary::of(attempt, shows_daemons))
            .collect(),
        storages: storages.into_iter().map(StoredCopy::from).collect(),
        copies: summaries(copies, &identity),
        job: Job::of(JobStatus::clone(&job), &identity),
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

fn copies_of(job: &JobStatus) -> ListFilter {
    ListFilter {
        kind: Some(JobKind::Copy),
        copy_of: Some(job.id),
        limit: MOST_COPIES,
        ..ListFilter::default()
    }
}

/// Each job as whoever asks may see it.
pub(super) fn summaries(jobs: Vec<JobStatus>, identity: &Identity) -> Vec<Job> {
    jobs.into_iter().map(|job| Job::of(job, identity)).collect()
}

impl AttemptSummary {
    fn of(attempt: Attempt, shows_daemons: bool) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: iso(attempt.started_at),
            ended_at: attempt.ended_at.map(iso),
            outcome: attempt.outcome,
            requeued_for: attempt.requeued_for.map(iso),
            error_step: attempt.error_step,
            error_code: attempt.error_code,
            error: attempt.error,
            host: attempt.host.filter(|_| shows_daemons),
        }
    }
}

impl From<StorageOfBackup> for StoredCopy {
    fn from(copy: StorageOfBackup) -> Self {
        Self {
            storage: copy.storage,
            state: copy.state,
            size_bytes: copy.size_bytes,
            stored_at: iso(copy.stored_at),
            last_proved_at: copy.last_proved_at.map(iso),
            deleted_at: copy.deleted_at.map(iso),
        }
    }
}
