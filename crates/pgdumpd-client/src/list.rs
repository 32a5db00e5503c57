//! Many jobs at once.

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
    /// The most rows.
    pub limit: u32,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self {
            target: None,
            state: None,
            label: None,
            kind: Some(JobKind::Backup),
            copy_of: None,
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
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_all(executor)
        .await?)
}
