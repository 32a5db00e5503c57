//! Many jobs at once.

use sqlx::PgExecutor;

use crate::error::ClientError;
use crate::sql;
use crate::status::{JobState, JobStatus};

/// Which jobs to list; the default is the 50 newest of all that the session's user may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    /// Of this target only.
    pub target: Option<String>,
    /// In this state only.
    pub state: Option<JobState>,
    /// With this label only.
    pub label: Option<String>,
    /// The most rows.
    pub limit: u32,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self {
            target: None,
            state: None,
            label: None,
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
        .bind(i64::from(filter.limit))
        .fetch_all(executor)
        .await?)
}
