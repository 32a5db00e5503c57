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
