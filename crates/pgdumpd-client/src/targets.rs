//! What can be asked for.

use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row as _};

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
