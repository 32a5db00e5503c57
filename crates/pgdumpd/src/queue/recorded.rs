//! What the queue knows of a backup beside where it is, to be compared with the backup's manifest.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::QueueError;

/// Facts of a backup's job and attempt. What the queue does not know, or this role may not see, is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The target's name.
    pub target: Option<String>,
    /// The role that enqueued the job.
    pub requested_by: Option<String>,
    /// SHA-256 of the archive, 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Which attempt stored it; for a copy there is none.
    pub attempt: Option<i16>,
    /// When that attempt was claimed, by the queue's clock; for a copy there is none.
    pub claimed_at: Option<DateTime<Utc>>,
}

impl Recorded {
    /// From the columns of these names.
    pub(super) fn read(row: &PgRow) -> Result<Self, QueueError> {
        Ok(Self {
            target: row.try_get("target")?,
            requested_by: row.try_get("requested_by")?,
            sha256: row.try_get("sha256")?,
            attempt: row.try_get("attempt")?,
            claimed_at: row.try_get("claimed_at")?,
        })
    }
}
