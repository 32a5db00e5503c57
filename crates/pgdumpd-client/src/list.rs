//! Many jobs at once.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;
use crate::status::{JobKind, JobState, JobStatus};

/// Which jobs to list; the default is the 50 newest backups of all that the session's user may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    /// Of this target only.
    pub target: Option<String>,
    /// In this state only.
    pub state: Option<JobState>,
    /// With this label only.
    pub label: Option<String>,
    /// Backups, by default, or copies; none takes both.
    pub kind: Option<JobKind>,
    /// Copies of this backup only (with `kind` set to copies, or none).
    pub copy_of: Option<Uuid>,
    /// Of these targets only.
    pub targets: Option<Vec<String>>,
    /// Only jobs that are older than this one: the last of the page before.
    pub after: Option<PageKey>,
    /// The most rows.
    pub limit: u32,
}

/// Where a page of a list ends: the next one begins after this job. Jobs that are enqueued meanwhile neither shift nor
/// repeat rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    /// When the job was enqueued.
    pub created_at: DateTime<Utc>,
    /// The job.
    pub id: Uuid,
}

impl From<&JobStatus> for PageKey {
    fn from(last: &JobStatus) -> Self {
        Self {
            created_at: last.created_at,
            id: last.id,
        }
    }
}

impl Default for ListFilter {
    fn default() -> Self {
        Self {
            target: None,
            state: None,
            label: None,
            kind: Some(JobKind::Backup),
            copy_of: None,
            targets: None,
            after: None,
            limit: 50,
        }
    }
}

/// Reads jobs, newest first.
///
/// # Errors
/// See [`ClientError`].
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &ListFilter,
) -> Result<Vec<JobStatus>, ClientError> {
    Ok(sqlx::query_as(sql::LIST)
        .bind(&filter.target)
        .bind(filter.state.map(JobState::as_str))
        .bind(&filter.label)
        .bind(filter.kind.map(JobKind::as_str))
        .bind(filter.copy_of)
        .bind(i64::from(filter.limit))
        .bind(&filter.targets)
        .bind(filter.after.map(|key| key.created_at))
        .bind(filter.after.map(|key| key.id))
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_all(executor)
        .await?)
}
