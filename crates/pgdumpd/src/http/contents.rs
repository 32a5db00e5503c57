//! What is in a backup, as a storage says it: somebody else reads storages, for whoever asks over HTTP.

use futures_util::future::BoxFuture;
use uuid::Uuid;

/// Reads what is in backups.
pub trait Contents: Send + Sync {
    /// The tables of the backup that this job made.
    fn tables(&self, job: Uuid) -> BoxFuture<'_, Result<Tables, ContentsError>>;
}

/// The tables of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// The storage that was read.
    pub storage: String,
    /// Tables, and what else has data, in any order.
    pub entries: Vec<TableEntry>,
}

/// The data of a table, or all large objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// `schema.name`, each part quoted where SQL needs it.
    pub name: String,
    /// Rows; of large objects, how many there are; `None` if not known.
    pub rows: Option<u64>,
    /// As `pg_dump` wrote it.
    pub raw_bytes: u64,
    /// As it is stored.
    pub stored_bytes: u64,
}

/// Why nobody can say what is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentsError {
    /// No storage has it.
    #[error("the backup is not in a storage")]
    NotStored,
    /// Only an identity opens the manifest.
    #[error("the backup's manifest is sealed")]
    Sealed,
    /// It was stored without being parsed.
    #[error("the backup was stored without a list of its tables")]
    NoIndex,
    /// No storage of this daemon has it, or it cannot be read now.
    #[error("{0}")]
    Unreadable(String),
}
