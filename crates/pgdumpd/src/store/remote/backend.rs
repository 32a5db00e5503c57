//! A storage's work, done in an object store.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::range::ResumableRead;
use super::upload::MultipartUpload;
use super::{Remote, marker, probe};
use crate::code::Code;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::hex::hex;
use crate::store::backend::{Backend, BackendRead, BackendUpload};
use crate::store::faults;
use crate::store::found::{FoundObject, Reach, UnfinishedUpload};
use crate::store::key::ObjectKey;
use crate::store::small::Small;
use crate::store::stall::{BytesMoved, in_time};

#[async_trait]
impl Backend for Arc<Remote> {
    async fn confirm(&self, id: Uuid) -> Result<(), Fault> {
        if self.is_marked {
            marker::expect(self, &[id]).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, reach: Reach) -> Result<Vec<FoundObject>, Fault> {
        let prefix = match prefix {
            "" => None,
            prefix => Some(object_path(prefix)?),
        };
        // A list that breaks is made again: object_store does so for its beginning alone.
        let list = || async {
            match reach {
                Reach::Root => {
                    let listed = self.objects.list_with_delimiter(prefix.as_ref()).await?;
                    Ok(listed.objects)
                }
                Reach::Queues | Reach::All => {
                    self.objects.list(prefix.as_ref()).try_collect().await
                }
            }
        };
        let listed: Vec<ObjectMeta> = self
            .retry
            .run("list", list)
            .await
            .map_err(|e| faults::of_object_store(format!("cannot list {}", self.address), e))?;
        Ok(listed.into_iter().map(FoundObject::from).collect())
    }

    async fn size_of(&self, key: &str) -> Result<Option<u64>, Fault> {
        let found = self.object_size(&object_path(key)?).await;
        found.map_err(|e| faults::of_object_store(format!("cannot inspect {key}"), e))
    }

    async fn read_small(&self, key: &str, most: u64) -> Result<Small, Fault> {
        let cannot = |e| faults::of_object_store(format!("cannot read {key}"), e);
        let found = match self.objects.get(&object_path(key)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Small::Missing),
            Err(error) => return Err(cannot(error)),
        };
        if found.meta.size > most {
            return Ok(Small::TooLarge);
        }
        found.bytes().await.map(Small::Whole).map_err(cannot)
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Box<dyn BackendRead>, Fault> {
        Ok(Box::new(ResumableRead::begin(self, key, range).await?))
    }

    async fn sha256(&self, key: &ObjectKey, size: u64, timeout: Duration) -> Result<String, Fault> {
        let mut pieces = in_time(timeout, self.read(key, 0..size)).await?;
        let mut hash = Sha256::new();
        while let Some(piece) = in_time(timeout, pieces.next()).await? {
            // What one read from a network brought: short enough for the runtime.
            hash.update(&piece);
        }
        Ok(hex(&hash.finalize()))
    }

    async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), Fault> {
        self.put_object(&object_path(key)?, content.into()).await
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: Option<u64>,
    ) -> Result<Box<dyn BackendUpload>, Fault> {
        let begun = MultipartUpload::begin(self, key, expected_bytes);
        Ok(Box::new(begun.await?))
    }

    /// Always true: no store reports whether it was there.
    async fn remove(&self, key: &str) -> Result<bool, Fault> {
        self.delete(&object_path(key)?).await?;
        Ok(true)
    }

    async fn probe(&self, storage: &str) -> Vec<Finding> {
        probe::uploads(self, storage).await
    }

    async fn unfinished_uploads(
        &self,
        prefix: &str,
    ) -> Result<Option<Vec<UnfinishedUpload>>, Fault> {
        match &self.list {
            Some(list) => list.below(prefix, &self.retry).await,
            None => Ok(None),
        }
    }

    async fn abort_upload(&self, key: &ObjectKey, upload_id: &str) -> Result<(), Fault> {
        self.abort(key, upload_id).await
    }

    async fn abort_uploads_of(&self, key: &ObjectKey) -> Result<(), Fault> {
        self.abort_all_of(key).await
    }

    fn moved(&self) -> BytesMoved {
        self.moved.clone()
    }
}

/// A key of our own as object_store takes it: as it is, not percent-encoded once more.
fn object_path(key: &str) -> Result<Path, Fault> {
    Path::parse(key).map_err(|error| {
        Fault::permanent(Code::StorageFailed, format!("{key} is not a key")).caused_by(error)
    })
}
