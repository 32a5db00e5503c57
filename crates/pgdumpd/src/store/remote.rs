//! A storage that is an object store, and what is done to its uploads.

mod backend;
pub(super) mod error;
mod http;
pub(super) mod marker;
mod part_size;
mod probe;
mod provider;
mod range;
mod retry;
mod upload;
mod uploads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};

use self::part_size::Parts;
use self::provider::{Clients, NoRetryStore};
use self::retry::Retry;
use self::uploads::UploadList;
use super::faults;
use super::key::ObjectKey;
use super::stall::BytesMoved;
use crate::config::{Provider, RemoteConfig, UploadLimits};
use crate::fault::Fault;

/// How long a request of a store without configuration is tried again.
const DEADLINE: Duration = Duration::from_secs(120);
/// How the uploads to a store without configuration are cut.
const LIMITS: UploadLimits = UploadLimits {
    max_parts: 10_000,
    part_size: 8 << 20,
    memory: 64 << 20,
};

/// What an upload, and who cleans up after one, needs of an object store.
pub(super) struct Remote {
    /// As the operator knows it.
    pub(super) address: String,
    /// For what [`Retry`] tries again.
    pub(super) once: Arc<dyn NoRetryStore>,
    /// What was sent.
    pub(super) moved: BytesMoved,
    /// For reading what an upload has left.
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) list: Option<UploadList>,
    /// Whether a marker says which storage it is.
    pub(super) is_marked: bool,
    /// Whether the store drops unfinished uploads by itself.
    pub(super) forgets_by_itself: bool,
    pub(super) limits: UploadLimits,
    pub(super) retry: Retry,
}

impl Remote {
    /// Nothing is sent yet.
    pub(super) fn new(name: &str, config: &RemoteConfig) -> Result<Self, Fault> {
        let clients = provider::clients(name, config)?;
        let deadline = config.request_deadline;
        let remote = Self::of(config.address(), clients, config.limits, deadline);
        Ok(Self {
            // Azure, after a week.
            forgets_by_itself: matches!(config.provider, Provider::Azure(_)),
            ..remote
        })
    }

    /// The same over a store that the caller has.
    pub(super) fn over(address: &str, store: Arc<impl NoRetryStore>) -> Self {
        let clients = Clients {
            objects: Arc::clone(&store) as Arc<dyn ObjectStore>,
            once: store,
            list: None,
            moved: BytesMoved::default(),
        };
        Self {
            is_marked: false,
            ..Self::of(address.to_owned(), clients, LIMITS, DEADLINE)
        }
    }

    fn of(address: String, clients: Clients, limits: UploadLimits, deadline: Duration) -> Self {
        Self {
            address,
            once: clients.once,
            moved: clients.moved,
            objects: clients.objects,
            list: clients.list,
            is_marked: true,
            forgets_by_itself: false,
            limits,
            retry: Retry { deadline },
        }
    }

    pub(super) fn parts(&self, expected_bytes: Option<u64>) -> Parts {
        Parts::for_upload(&self.limits, expected_bytes)
    }

    /// Aborts an upload, or finds it gone.
    pub(super) async fn abort(&self, key: &ObjectKey, upload_id: &str) -> Result<(), Fault> {
        let what = || format!("cannot abort the upload of {key}");
        let (path, id) = (key.path(), upload_id.to_owned());
        let aborted = self
            .retry
            .run("abort", || self.once.abort_multipart(&path, &id))
            .await;
        match aborted {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(faults::of_object_store(what(), error)),
        }
    }

    /// Writes an object, whole or not at all.
    pub(super) async fn put_object(&self, path: &Path, content: PutPayload) -> Result<(), Fault> {
        let put = self.retry.run("write", || {
            ObjectStoreExt::put(&self.once, path, content.clone())
        });
        let put = put.await.map(drop);
        put.map_err(|error| faults::of_object_store(format!("cannot write {path}"), error))
    }

    /// Deletes an object, or finds it gone.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), Fault> {
        let deleted = self
            .retry
            .run("delete", || ObjectStoreExt::delete(&self.once, path))
            .await;
        match deleted {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(faults::of_object_store(
                format!("cannot remove {path}"),
                error,
            )),
        }
    }

    /// The size of an object; `None` if there is none.
    pub(super) async fn object_size(&self, path: &Path) -> object_store::Result<Option<u64>> {
        let options = object_store::GetOptions::new().with_head(true);
        match self.objects.get_opts(path, options).await {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
