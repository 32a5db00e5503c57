//! What an attempt is about to write, recorded before it writes.

use uuid::Uuid;

use super::{Lease, Queue, QueueError};

const RECORD_UPLOAD: &str = include_str!("sql/record_upload.sql");

impl Queue {
    /// Notes where this attempt will store, before the first byte is sent. False: the lease is lost.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn record_upload(
        &self,
        lease: &Lease,
        storage: &str,
        storage_id: Uuid,
        key: &str,
        upload_id: Option<&str>,
    ) -> Result<bool, QueueError> {
        let statement = sqlx::query(RECORD_UPLOAD)
            .bind(lease.job)
            .bind(lease.token)
            .bind(storage)
            .bind(storage_id)
            .bind(key)
            .bind(upload_id);
        Ok(self
            .inner
            .connections
            .fetch_optional(statement)
            .await?
            .is_some())
    }
}
