//! What can be asked for.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row as _};
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;

/// A target that can be backed up now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServedTarget {
    /// Its name, for [`BackupRequest::new`](crate::BackupRequest::new).
    pub target: String,
    /// How many daemons that are alive serve it.
    pub daemons: i64,
}

impl FromRow<'_, PgRow> for ServedTarget {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            target: row.try_get("target")?,
            daemons: row.try_get("daemons")?,
        })
    }
}

/// The targets that daemons which are alive serve, by name. A backup of another one can be asked for, too: it waits until
/// a daemon serves it.
///
/// # Errors
/// See [`ClientError`].
pub async fn targets(executor: impl PgExecutor<'_>) -> Result<Vec<ServedTarget>, ClientError> {
    Ok(sqlx::query_as(sql::TARGETS)
        .persistent(false)
        .fetch_all(executor)
        .await?)
}

/// A target that can be asked for, or that has a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KnownTarget {
    /// Its name.
    pub target: String,
    /// How many daemons that are alive serve it; with 0, a backup of it waits.
    pub daemons: i64,
    /// Its newest backup that the session's user may see.
    pub last_success_id: Option<Uuid>,
    /// When that ended.
    pub last_success_at: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for KnownTarget {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            target: row.try_get("target")?,
            daemons: row.try_get("daemons")?,
            last_success_id: row.try_get("last_success_id")?,
            last_success_at: row.try_get("last_success_at")?,
        })
    }
}

/// The targets that a daemon serves or that have a backup, of these names or all, by name.
///
/// # Errors
/// See [`ClientError`].
pub async fn known_targets(
    executor: impl PgExecutor<'_>,
    names: Option<&[String]>,
) -> Result<Vec<KnownTarget>, ClientError> {
    Ok(sqlx::query_as(sql::KNOWN_TARGETS)
        .bind(names)
        // A pooler's session keeps no statement of ours, as it would of one with a name.
        .persistent(false)
        .fetch_all(executor)
        .await?)
}
