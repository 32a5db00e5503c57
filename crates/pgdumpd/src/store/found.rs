//! What a listing finds.

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;

/// One object, or file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundObject {
    /// Its name from the storage's root.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written, by the storage's clock.
    pub modified_at: DateTime<Utc>,
}

impl From<ObjectMeta> for FoundObject {
    fn from(object: ObjectMeta) -> Self {
        Self {
            key: object.location.to_string(),
            size_bytes: object.size,
            modified_at: object.last_modified,
        }
    }
}

/// An upload that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnfinishedUpload {
    /// What it would be.
    pub key: String,
    /// What the storage calls it.
    pub upload_id: String,
    /// By the storage's clock.
    pub started_at: DateTime<Utc>,
}

/// How far a listing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// What is in the root itself.
    Root,
    /// What is below the ids of queues.
    Queues,
    /// Everything.
    All,
}
