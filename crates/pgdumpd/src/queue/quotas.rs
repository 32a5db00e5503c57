//! How many backups a role may keep.

use sqlx::Row as _;

use super::{Queue, QueueError};

const KEPT_QUOTAS: &str = include_str!("sql/kept_quotas.sql");

/// A role that has 80 % or more of the backups that it may keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptQuota {
    /// The role.
    pub role: String,
    /// How many it has, counted no further than it may have.
    pub kept: i64,
    /// How many it may have.
    pub allowed: i64,
}

impl Queue {
    /// The roles that have 80 % or more of the backups that they may keep.
    ///
    /// # Errors
    /// The database's.
    pub async fn kept_quotas(&self) -> Result<Vec<KeptQuota>, QueueError> {
        let rows = self
            .inner
            .connections
            .fetch_all(sqlx::query(KEPT_QUOTAS))
            .await?;
        let quotas = rows.iter().map(|row| {
            Ok(KeptQuota {
                role: row.try_get("requested_by")?,
                kept: row.try_get("kept")?,
                allowed: row.try_get("allowed")?,
            })
        });
        Ok(quotas.collect::<Result<_, sqlx::Error>>()?)
    }
}
