//! A job that this daemon owns, and the right to write it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

/// The right to write one running job's row. Every write carries it; with the lease lost it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: Uuid,
    /// Random for each claim.
    pub token: Uuid,
    /// 1 for the first.
    pub attempt: i16,
}

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Dump the target.
    Backup,
    /// Copy a backup to a further storage.
    Copy(CopyOrder),
}

impl Work {
    /// The job's kind: `backup` or `copy`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Copy(_) => "copy",
        }
    }
}

/// Which backup is to be copied where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOrder {
    /// The backup's job.
    pub of: Uuid,
    /// The name of the storage that is to hold it, too.
    pub to: String,
}

/// A job that this daemon now owns.
#[derive(Debug)]
pub struct ClaimedJob {
    /// The right to it.
    pub lease: Lease,
    /// What to do.
    pub work: Work,
    /// The target's name.
    pub target: String,
    /// As enqueued.
    pub spec: serde_json::Value,
    /// The job's own limit.
    pub timeout: Option<Duration>,
    /// Attempts allowed.
    pub max_attempts: i16,
    /// How often its daemon died.
    pub rescues: i16,
    /// Who asked.
    pub requested_by: String,
    /// The asker's W3C trace context.
    pub trace_parent: Option<String>,
    /// When this claim was made (the database's clock).
    pub claimed_at: DateTime<Utc>,
    /// The attempts before this one, newest first, at most 20: sessions to end, keys to check.
    pub earlier: Vec<EarlierAttempt>,
}

/// What an earlier attempt left to clean up.
#[derive(Debug, Clone, Deserialize)]
pub struct EarlierAttempt {
    /// Its lease token.
    pub token: Uuid,
    /// Its attempt number.
    pub attempt: i16,
    /// When it was claimed, by the queue's clock.
    pub started_at: DateTime<Utc>,
    /// The storage it wrote to, once it had begun.
    pub storage: Option<String>,
    /// That storage's id.
    pub storage_id: Option<Uuid>,
    /// Its object's key.
    pub object_key: Option<String>,
    /// Its upload id, where the storage has such.
    pub upload_id: Option<String>,
}
