//! Requests to delete a backup everywhere. They outlive the command that made them: what is stored of that backup
//! later is deleted by the daemons.

use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const REQUEST: &str = include_str!("sql/request_deletion.sql");
const IS_REQUESTED: &str = "SELECT d.job_id FROM pgdumpd.backup_deletions AS d WHERE d.job_id = $1";
const PLACES: &str = include_str!("sql/places_of_backup.sql");
const TO_FINISH: &str = include_str!("sql/deletions_to_finish.sql");

/// A backup as a request to delete it finds it.
#[derive(Debug, Clone)]
pub struct Deletable {
    /// Its target's name.
    pub target: String,
    /// Whether its job has ended, so that the request was taken.
    pub has_ended: bool,
}

/// Where a backup is, or may be.
#[derive(Debug, Clone)]
pub struct Place {
    /// The storage's name when it was stored.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The object's key.
    pub object_key: String,
    /// Whether it is recorded as stored there, or as being deleted. Else an attempt began to store it, and it is not known
    /// what is left.
    pub recorded: bool,
    /// Whether somebody has begun to delete it.
    pub is_being_deleted: bool,
}

/// A backup that a storage holds although it is to go.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The backup's job.
    pub job: Uuid,
    /// Its target's name.
    pub target: String,
    /// The storage's name when it was stored.
    pub storage: String,
    /// The storage's id.
    pub storage_id: Uuid,
    /// The object's key.
    pub object_key: String,
    /// Whether a person requested it, and so everything of the job is to go; else a daemon began to delete this one.
    pub requested: bool,
}

impl Queue {
    /// Requests that a backup is deleted everywhere, where its job has ended; with `write` false only says whether that
    /// could be requested. None: this queue knows no such backup.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn request_deletion(
        &self,
        job: Uuid,
        write: bool,
    ) -> Result<Option<Deletable>, QueueError> {
        let statement = sqlx::query(REQUEST).bind(job).bind(write).bind(self.id());
        let row = self.inner.connections.fetch_optional(statement).await?;
        row.map(|row| {
            Ok(Deletable {
                target: row.try_get("target")?,
                has_ended: row.try_get("has_ended")?,
            })
        })
        .transpose()
    }

    /// Where this job's backup is, or may be.
    ///
    /// # Errors
    /// The database's.
    pub async fn places_of_backup(&self, job: Uuid) -> Result<Vec<Place>, QueueError> {
        let statement = sqlx::query(PLACES).bind(job);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(Place {
                    storage: row.try_get("storage")?,
                    storage_id: row.try_get("storage_id")?,
                    object_key: row.try_get("object_key")?,
                    recorded: row.try_get("recorded")?,
                    is_being_deleted: row.try_get("is_being_deleted")?,
                })
            })
            .collect()
    }

    /// Whether somebody has requested the deletion of this job's backup.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_deletion_requested(&self, job: Uuid) -> Result<bool, QueueError> {
        let statement = sqlx::query(IS_REQUESTED).bind(job);
        let row = self.inner.connections.fetch_optional(statement).await?;
        Ok(row.is_some())
    }

    /// Backups that these storages hold although their deletion was requested, or begun by a daemon, but for those of
    /// the jobs in `without`.
    ///
    /// # Errors
    /// The database's.
    pub async fn deletions_to_finish(
        &self,
        storages: &[Uuid],
        limit: i64,
        without: &[Uuid],
    ) -> Result<Vec<Unfinished>, QueueError> {
        let statement = sqlx::query(TO_FINISH)
            .bind(storages)
            .bind(limit)
            .bind(without)
            .bind(self.id());
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(Unfinished {
                    job: row.try_get("job_id")?,
                    target: row.try_get("target")?,
                    storage: row.try_get("storage")?,
                    storage_id: row.try_get("storage_id")?,
                    object_key: row.try_get("object_key")?,
                    requested: row.try_get("requested")?,
                })
            })
            .collect()
    }
}
