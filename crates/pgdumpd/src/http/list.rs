//! `GET /api/backup`: the history, one page at a time, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use chrono::DateTime;
use pgdumpd_client::{JobState, ListFilter, PageKey};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::access::{Identity, Reader};
use super::answer::BackupAnswer;
use super::id::uuid;
use super::problem::{Problem, ProblemType};
use super::service::Service;

const PAGE: u32 = 20;
const LARGEST_PAGE: u32 = 100;

/// How many targets one request may name: as many as a page has rows.
const MOST_TARGETS: usize = 100;

/// One page of backups, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The page's backups.
    backups: Vec<BackupAnswer>,
    /// Give it as `cursor` for the next page; null if there is none.
    #[schema(required)]
    next: Option<String>,
}

/// The history
///
/// Backups that are asked for meanwhile neither shift nor repeat those of the pages that follow.
#[utoipa::path(
    get, path = "/api/backup", operation_id = "list", tag = "backup",
    params(
        ("target" = Option<Vec<String>>, Query, description = "Of these targets only; may come several times"),
        ("state" = Option<super::answer::State>, Query, description = "In this state only"),
        ("limit" = Option<u32>, Query, description = "How many; 20 by default", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "One page", body = ListAnswer)),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let (filter, limit) = filter(&identity, uri.query().unwrap_or_default())?;
    let jobs = service.shared.applications.list(filter).await;
    let mut jobs = jobs.map_err(Problem::from)?;
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let last = jobs.last().filter(|_| has_more);
    let answer = ListAnswer {
        success: true,
        next: last.map(|last| cursor_of(&PageKey::from(last))),
        backups: jobs.iter().map(BackupAnswer::from).collect(),
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

/// What to read, with one row more than the page has, and the page's length.
pub(super) fn filter(identity: &Identity, query: &str) -> Result<(ListFilter, usize), Problem> {
    let mut targets: Vec<String> = Vec::new();
    let (mut state, mut limit, mut after) = (None, PAGE, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            // PostgreSQL's text has every character but this one.
            "target" if value.contains('\0') || targets.len() == MOST_TARGETS => {
                return Err(malformed(
                    "`target` is not the name of a target, or comes too often",
                ));
            }
            "target" => targets.push(value.into_owned()),
            "state" => {
                let parsed: Result<JobState, _> = value.parse();
                state = Some(parsed.map_err(|_| {
                    malformed("`state` is not queued, running, succeeded, failed, cancelled")
                })?);
            }
            "limit" => {
                let parsed = value.parse().ok();
                limit = parsed
                    .filter(|limit| (1..=LARGEST_PAGE).contains(limit))
                    .ok_or_else(|| malformed("`limit` is not 1 to 100"))?;
            }
            "cursor" => {
                let key = page_key(&value);
                after = Some(key.ok_or_else(|| malformed("`cursor` is not of an earlier page"))?);
            }
            _ => {}
        }
    }
    let targets = match identity.targets() {
        None if targets.is_empty() => None,
        Some(own) if targets.is_empty() => Some(own.to_vec()),
        _ => {
            targets.retain(|target| identity.may_use(target));
            Some(targets)
        }
    };
    let filter = ListFilter {
        targets,
        state,
        after,
        limit: limit + 1,
        ..ListFilter::default()
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok((filter, limit))
}

pub(super) fn malformed(detail: &str) -> Problem {
    Problem::new(ProblemType::MalformedRequest, detail)
}

/// Its askers know nothing of it but that it is a text.
pub(super) fn cursor_of(key: &PageKey) -> String {
    format!("{}.{}", key.created_at.timestamp_micros(), key.id)
}

fn page_key(cursor: &str) -> Option<PageKey> {
    // PostgreSQL's times end before those of chrono; ours are in the years that a job may have.
    const TIMES: std::ops::Range<i64> = 0..253_402_300_800_000_000;
    let (micros, id) = cursor.split_once('.')?;
    let micros = micros
        .parse()
        .ok()
        .filter(|micros| TIMES.contains(micros))?;
    Some(PageKey {
        created_at: DateTime::from_timestamp_micros(micros)?,
        id: uuid(id)?,
    })
}
