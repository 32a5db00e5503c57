//! `GET jobs`: the history of backups and copies, one page at a time, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use pgdumpd_client::{JobKind, PageKey};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::access::Reader;
use super::job::summaries;
use super::list::{cursor_of, filter, malformed};
use super::operator::Job;
use super::problem::Problem;
use super::service::Service;

/// One page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobsAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The page's jobs.
    jobs: Vec<Job>,
    /// Give it as `cursor` for the next page; null if there is none.
    #[schema(required)]
    next: Option<String>,
}

/// The history of backups and copies
///
/// As the history of backups, with copies, and with what only an operator needs.
#[utoipa::path(
    get, path = "/jobs", operation_id = "jobs", tag = "operator",
    params(
        ("target" = Option<Vec<String>>, Query, description = "Of these targets only; may come several times"),
        ("state" = Option<super::answer::State>, Query, description = "In this state only"),
        ("kind" = Option<super::operator::Kind>, Query, description = "Of this kind only; both by default"),
        ("limit" = Option<u32>, Query, description = "How many; 20 by default", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "One page", body = JobsAnswer)),
)]
pub(super) async fn jobs(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let query = uri.query().unwrap_or_default();
    let (mut filter, limit) = filter(&identity, query)?;
    filter.kind = kind(query)?;
    let mut jobs = service.shared.applications.list(filter).await?;
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| has_more).map(PageKey::from);
    let answer = JobsAnswer {
        success: true,
        next: next.as_ref().map(cursor_of),
        jobs: summaries(jobs, &identity),
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

/// Of several, the last counts.
fn kind(query: &str) -> Result<Option<JobKind>, Problem> {
    let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "kind");
    let last = given.last().map(|(_, word)| word.parse());
    last.transpose()
        .map_err(|_| malformed("`kind` is not backup, copy"))
}
