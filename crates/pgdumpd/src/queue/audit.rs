//! What the queue knows of storages, for `pgdumpd fsck`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError, Recorded};

const ATTEMPTS: &str = include_str!("sql/audit_attempts.sql");
const COPIES: &str = concat!(
    include_str!("sql/recorded_copies.sql"),
    "WHERE c.storage_id = $1 AND (c.state <> 'deleted' OR c.job_id = ANY ($2))"
);
const STORED_ELSEWHERE: &str = include_str!("sql/stored_elsewhere.sql");
const IS_IN_USE: &str = include_str!("sql/attempt_is_in_use.sql");
const IS_NOTED: &str = include_str!("sql/key_is_recorded.sql");
const IDENTITY: &str = include_str!("sql/audit_identity.sql");
const RECORD_COPY: &str = include_str!("sql/record_copy.sql");

/// An attempt that has recorded where it stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedAttempt {
    /// Its lease token.
    pub token: Uuid,
    /// Its job.
    pub job: Uuid,
    /// Whether it runs.
    pub running: bool,
    /// Whether a daemon has seen to it that nothing of it is left.
    pub cleared: bool,
    /// Where it stores.
    pub storage_id: Uuid,
    /// The archive's key there.
    pub object_key: String,
    /// What the storage calls its upload.
    pub upload_id: Option<String>,
    /// Whether the job is seen to have ended, so that no attempt will adopt or clear this one.
    pub job_has_ended: bool,
    /// Whether the deletion of its backup was requested.
    pub deletion_requested: bool,
}

/// A recorded copy of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditedCopy {
    /// The backup's id.
    pub job: Uuid,
    /// The storage's name when it was stored.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The archive's key.
    pub object_key: String,
    /// The archive's size.
    pub size_bytes: u64,
    /// Whether it is there, as far as the queue knows.
    pub state: CopyState,
    /// What else is known of the backup.
    pub recorded: Recorded,
}

/// Whether a storage holds a backup, as far as the queue knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// It does.
    Stored,
    /// Its deletion was begun, so that it is not a backup any more.
    Deleting,
    /// It did.
    Deleted,
}

impl AuditedCopy {
    /// Whether it is a backup that can be fetched.
    pub fn is_stored(&self) -> bool {
        self.state == CopyState::Stored
    }
}

impl CopyState {
    fn named(name: &str) -> Self {
        match name {
            "stored" => Self::Stored,
            "deleting" => Self::Deleting,
            _ => Self::Deleted,
        }
    }
}

/// What the names in a storage say of where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// The jobs.
    pub jobs: BTreeSet<Uuid>,
    /// The lease tokens of their attempts.
    pub tokens: BTreeSet<Uuid>,
}

/// What is known of one storage, and when.
#[derive(Debug, Clone)]
pub struct Audit {
    /// By the database's clock, before anything else was read.
    pub now: DateTime<Utc>,
    /// In no order.
    pub attempts: Vec<AuditedAttempt>,
    /// In no order.
    pub copies: Vec<AuditedCopy>,
}

impl Queue {
    /// Reads what the queue knows of a storage that has these traces: what is stored there or being deleted, and
    /// whatever there is of the traces. What begins later is not in it: list a storage first, then ask.
    ///
    /// # Errors
    /// [`QueueError::Replaced`] where the address leads to another queue by now; else the database's.
    pub async fn audit(&self, storage_id: Uuid, traces: &Traces) -> Result<Audit, QueueError> {
        let connections = &self.inner.connections;
        let now = self.same_queue().await?;
        let tokens: Vec<Uuid> = traces.tokens.iter().copied().collect();
        let attempts = sqlx::query(ATTEMPTS).bind(tokens).bind(storage_id);
        let attempts = connections.fetch_all(attempts).await?;
        let attempts = attempts.iter().map(|row| {
            Ok(AuditedAttempt {
                token: row.try_get("lease_token")?,
                job: row.try_get("job_id")?,
                running: row.try_get("running")?,
                cleared: row.try_get("cleared")?,
                storage_id: row.try_get("storage_id")?,
                object_key: row.try_get("object_key")?,
                upload_id: row.try_get("upload_id")?,
                job_has_ended: row.try_get("job_has_ended")?,
                deletion_requested: row.try_get("deletion_requested")?,
            })
        });
        let attempts = attempts.collect::<Result<Vec<_>, QueueError>>()?;
        let mut jobs: BTreeSet<Uuid> = attempts.iter().map(|attempt| attempt.job).collect();
        jobs.extend(&traces.jobs);
        let jobs: Vec<Uuid> = jobs.into_iter().collect();
        let copies = sqlx::query(COPIES).bind(storage_id).bind(jobs);
        let copies = connections.fetch_all(copies).await?;
        let copies = copies.iter().map(|row| {
            Ok(AuditedCopy {
                job: row.try_get("job_id")?,
                storage: row.try_get("storage")?,
                storage_id: row.try_get("storage_id")?,
                object_key: row.try_get("object_key")?,
                size_bytes: row.try_get::<i64, _>("size_bytes")?.unsigned_abs(),
                state: CopyState::named(row.try_get("state")?),
                recorded: Recorded::read(row)?,
            })
        });
        Ok(Audit {
            now,
            attempts,
            copies: copies.collect::<Result<_, QueueError>>()?,
        })
    }

    /// How many backups are stored in other storages than these, by the storages' names and ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn stored_elsewhere(
        &self,
        storages: &[Uuid],
    ) -> Result<Vec<(String, Uuid, i64)>, QueueError> {
        let statement = sqlx::query(STORED_ELSEWHERE).bind(storages);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get("storage")?,
                    row.try_get("storage_id")?,
                    row.try_get("backups")?,
                ))
            })
            .collect()
    }

    /// The database's time, if this is still the queue that this connected to.
    async fn same_queue(&self) -> Result<DateTime<Utc>, QueueError> {
        let row = self
            .inner
            .connections
            .fetch_optional(sqlx::query(IDENTITY))
            .await?;
        let row = row.ok_or(QueueError::NoIdentity)?;
        let (found, known): (Uuid, Uuid) = (row.try_get("id")?, self.id());
        if found != known {
            return Err(QueueError::Replaced { found, known });
        }
        Ok(row.try_get("now")?)
    }

    /// Whether an attempt runs, or its job may still adopt what it stored. An attempt that the queue does not know
    /// never will; where this role may not see its job, or the queue is another by now, it must be taken for one that
    /// does.
    ///
    /// # Errors
    /// The database's.
    pub async fn attempt_is_in_use(&self, token: Uuid) -> Result<bool, QueueError> {
        let statement = sqlx::query(IS_IN_USE).bind(token).bind(self.id());
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok(row.try_get("in_use")?),
            None => Err(QueueError::NoIdentity),
        }
    }

    /// Whether a backup is recorded as stored under this key.
    ///
    /// # Errors
    /// The database's.
    pub async fn key_is_recorded(&self, object_key: &str) -> Result<bool, QueueError> {
        let statement = sqlx::query(IS_NOTED).bind(object_key);
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok(row.try_get("recorded")?),
            None => Ok(true),
        }
    }

    /// Notes a backup that a storage holds although its ended job knows nothing of it. False: there is no such job,
    /// it has not ended, or another copy in that storage is recorded as stored.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn record_copy(
        &self,
        job: Uuid,
        storage: &str,
        storage_id: Uuid,
        object_key: &str,
        size_bytes: u64,
    ) -> Result<bool, QueueError> {
        let statement = sqlx::query(RECORD_COPY)
            .bind(job)
            .bind(storage)
            .bind(storage_id)
            .bind(object_key)
            .bind(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }
}
