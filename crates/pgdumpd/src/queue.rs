//! The queue in PostgreSQL: the only place that writes job rows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::QueueConfig;

/// A connection pool to the queue of one database.
#[derive(Debug, Clone)]
pub struct Queue {
    _pool: PgPool,
}

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

/// A job that this daemon now owns.
#[derive(Debug)]
pub struct ClaimedJob {
    /// The right to it.
    pub lease: Lease,
    /// The target's name.
    pub target: String,
    /// As enqueued.
    pub spec: serde_json::Value,
    /// Its version.
    pub spec_version: i16,
    /// The job's own limit.
    pub timeout: Option<Duration>,
    /// Attempts allowed.
    pub max_attempts: i16,
    /// How often its daemon died.
    pub rescues: i16,
    /// Who asked.
    pub requested_by: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When this claim was made (the database's clock).
    pub claimed_at: DateTime<Utc>,
    /// The attempts before this one, newest first, at most 20: sessions to end, keys to look under.
    pub earlier: Vec<EarlierAttempt>,
}

/// What an earlier attempt left to look after.
#[derive(Debug, Clone)]
pub struct EarlierAttempt {
    /// Its lease token.
    pub token: Uuid,
    /// Its attempt number.
    pub attempt: i16,
    /// The storage it wrote to, once it had begun.
    pub storage: Option<String>,
    /// That storage's id.
    pub storage_id: Option<Uuid>,
    /// Its object's key.
    pub object_key: Option<String>,
    /// Its upload id, where the storage has such.
    pub upload_id: Option<String>,
}

/// What a heartbeat writes beside the lease.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Such as `dumping`.
    pub phase: String,
    /// 0 to 99.9; the row never falls back.
    pub percent: f32,
    /// One line for people.
    pub message: String,
    /// `schema.table`.
    pub current_table: Option<String>,
    /// Tables whose data is complete.
    pub tables_done: Option<i32>,
    /// Tables whose data will come.
    pub tables_total: Option<i32>,
    /// Rows so far.
    pub rows_done: Option<i64>,
    /// Bytes that pg_dump wrote.
    pub bytes_dumped: Option<i64>,
    /// Bytes handed to the storage.
    pub bytes_stored: Option<i64>,
    /// Seconds from now to the expected end; the row gets the database's clock plus this.
    pub remaining: Option<Duration>,
}

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed.
    Renewed {
        /// Somebody asked to cancel.
        cancel: bool,
    },
    /// Another daemon owns the job, or it ended.
    LeaseLost,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Outcome {
    /// The manifest is written.
    Succeeded(Box<Success>),
    /// It failed.
    Failed(Failure),
    /// It was cancelled and everything is cleaned up.
    Cancelled,
    /// The daemon stops: the attempt is given back uncounted.
    Released,
}

/// What a successful attempt proved.
#[derive(Debug, Clone)]
pub struct Success {
    /// The storage's name.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The object's key.
    pub object_key: String,
    /// The object's size in bytes.
    pub size_bytes: i64,
    /// Of the object, 64 hexadecimal digits.
    pub sha256: String,
    /// pg_dump's warnings, redacted and bounded.
    pub warnings: Vec<String>,
    /// How many there were.
    pub warnings_total: i32,
    /// The last progress.
    pub progress: Progress,
}

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `connect`, `prepare`, `dump`, `store`, `publish`, ...
    pub step: &'static str,
    /// A documented word.
    pub code: &'static str,
    /// The text with its causes, redacted.
    pub error: String,
    /// Advice.
    pub hint: Option<String>,
    /// Whether to try again.
    pub transient: bool,
    /// pg_dump's warnings so far.
    pub warnings: Vec<String>,
    /// How many there were.
    pub warnings_total: i32,
}

/// What became of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It ended in this state: `succeeded`, `failed` or `cancelled`.
    Ended(&'static str),
    /// It is queued again.
    Requeued {
        /// When it is due.
        run_at: DateTime<Utc>,
    },
    /// The lease was lost: nothing was written.
    LeaseLost,
}

/// An error of the queue's database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The schema is missing or older than this build.
    #[error("the queue at {address} is not migrated to version {wanted}")]
    NotMigrated {
        /// Where.
        address: String,
        /// The version that this build needs.
        wanted: i64,
    },
    /// The configuration names another queue.
    #[error("the queue has the id {found}, the configuration names {wanted}")]
    WrongQueue {
        /// In the database.
        found: Uuid,
        /// In the configuration.
        wanted: Uuid,
    },
    /// The database did not answer, or refused.
    #[error("the queue's database failed")]
    Database(#[from] sqlx::Error),
}

/// This process, as other daemons and the views see it.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Random for each process start.
    pub id: Uuid,
    /// Host name, for people.
    pub host: String,
    /// Process id.
    pub pid: i32,
    /// This build.
    pub version: String,
    /// Jobs at once.
    pub max_jobs: i32,
    /// The configured lease.
    pub lease: Duration,
}

impl Queue {
    /// Connects, and refuses a queue that is not migrated or has another id than configured.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn connect(_config: &QueueConfig) -> Result<Self, QueueError> {
        todo!()
    }
    /// The queue's id.
    pub fn id(&self) -> Uuid {
        todo!()
    }
    /// Registers this process, or renews last_seen_at, its targets and whether it is stopping.
    pub async fn register(
        &self,
        _worker: &Worker,
        _targets: &[String],
        _stopping: bool,
    ) -> Result<(), QueueError> {
        todo!()
    }
    /// Stores the results of the daemon's own checks.
    pub async fn record_checks(
        &self,
        _worker: Uuid,
        _checks: &serde_json::Value,
    ) -> Result<(), QueueError> {
        todo!()
    }
    /// Claims the best due job of these targets, or none.
    pub async fn claim(
        &self,
        _worker: Uuid,
        _targets: &[String],
        _lease: Duration,
    ) -> Result<Option<ClaimedJob>, QueueError> {
        todo!()
    }
    /// Renews the lease, writes progress, and says whether to go on.
    pub async fn heartbeat(
        &self,
        _lease: &Lease,
        _for: Duration,
        _progress: &Progress,
    ) -> Result<Beat, QueueError> {
        todo!()
    }
    /// Notes where this attempt will store, before the first byte is sent. False: the lease is lost.
    pub async fn note_upload(
        &self,
        _lease: &Lease,
        _storage: &str,
        _storage_id: Uuid,
        _key: &str,
        _upload_id: Option<&str>,
    ) -> Result<bool, QueueError> {
        todo!()
    }
    /// Ends the attempt. May be repeated with the same outcome when an answer was lost.
    pub async fn finish(&self, _lease: &Lease, _outcome: &Outcome) -> Result<Finished, QueueError> {
        todo!()
    }
    /// Takes expired leases back (requeue, or fail after `max_rescues`), and ends queued jobs whose cancel came late.
    /// Returns how many rows changed.
    pub async fn reap(&self, _max_rescues: u16) -> Result<u64, QueueError> {
        todo!()
    }
    /// Seconds until the next job of these targets is due; none if none is queued.
    pub async fn next_due(&self, _targets: &[String]) -> Result<Option<Duration>, QueueError> {
        todo!()
    }
}
