//! One thing that `pgdumpd fsck` has to say.

use std::time::Duration;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::finding::Severity;
use crate::store::FoundObject;

/// One thing that was found, and what may be done about it.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// A stable word.
    pub code: &'static str,
    /// An error is a backup that is not what the queue or its manifest says; a warning costs no backup; what is ok is
    /// only information.
    pub severity: Severity,
    /// The storage's name in the configuration.
    pub storage: String,
    /// What it is about: an archive's key, or a name in the storage.
    pub key: String,
    /// The backup's id.
    pub job: Option<Uuid>,
    /// In bytes.
    pub size_bytes: Option<u64>,
    /// Since it was last written, by the queue's clock.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// What is the matter.
    pub what: String,
    /// What a person can do, in full sentences.
    pub advice: Option<&'static str>,
    /// What `--repair` does.
    #[serde(serialize_with = "is_some", rename = "repairable")]
    pub remedy: Option<Remedy>,
}

/// What `--repair` does about a finding, after it has checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Removes everything of an attempt that has no manifest.
    RemoveAttempt {
        /// The attempt's lease token.
        token: Uuid,
    },
    /// Ends an upload; what is under its key stays, a backup or not.
    AbortUpload {
        /// The lease token of its attempt.
        token: Uuid,
        /// What the storage calls it.
        upload_id: String,
    },
    /// Removes the temporary files of an attempt; of a backup, too.
    RemoveTemporaries {
        /// The attempt's lease token.
        token: Uuid,
    },
    /// Removes a small file of ours.
    RemoveScrap,
    /// Notes in the queue that a backup is gone.
    NoteDeleted,
    /// Deletes what is left of a backup whose deletion was begun, and records that.
    FinishDeletion,
    /// Notes a backup in the queue.
    NoteCopy {
        /// Its size.
        size_bytes: u64,
    },
}

impl Finding {
    pub(super) fn error(code: &'static str, storage: &str, key: &str) -> Self {
        Self::new(Severity::Error, code, storage, key)
    }

    pub(super) fn warning(code: &'static str, storage: &str, key: &str) -> Self {
        Self::new(Severity::Warning, code, storage, key)
    }

    pub(super) fn note(code: &'static str, storage: &str, key: &str) -> Self {
        Self::new(Severity::Ok, code, storage, key)
    }

    fn new(severity: Severity, code: &'static str, storage: &str, key: &str) -> Self {
        Self {
            code,
            severity,
            storage: storage.to_owned(),
            key: key.to_owned(),
            job: None,
            size_bytes: None,
            age: None,
            what: String::new(),
            advice: None,
            remedy: None,
        }
    }

    pub(super) fn of_job(self, job: Uuid) -> Self {
        let job = Some(job);
        Self { job, ..self }
    }

    pub(super) fn of_object(self, object: &FoundObject, age: Duration) -> Self {
        self.of_size(object.size_bytes, Some(age))
    }

    pub(super) fn of_size(self, size_bytes: u64, age: Option<Duration>) -> Self {
        let size_bytes = Some(size_bytes);
        Self {
            size_bytes,
            age,
            ..self
        }
    }

    pub(super) fn aged(self, age: Duration) -> Self {
        let age = Some(age);
        Self { age, ..self }
    }

    pub(super) fn message(self, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, ..self }
    }

    pub(super) fn advises(self, advice: &'static str) -> Self {
        let advice = Some(advice);
        Self { advice, ..self }
    }

    pub(super) fn repair_with(self, remedy: Remedy) -> Self {
        let remedy = Some(remedy);
        Self { remedy, ..self }
    }
}

fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(|age| age.as_secs()).serialize(serializer)
}

fn is_some<S: Serializer>(remedy: &Option<Remedy>, serializer: S) -> Result<S::Ok, S::Error> {
    remedy.is_some().serialize(serializer)
}
