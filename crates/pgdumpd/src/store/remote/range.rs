//! A part of an object, read from a store piece by piece.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};

use super::Remote;
use super::error::RequestError;
use crate::fault::Fault;
use crate::store::backend::BackendRead;
use crate::store::faults;
use crate::store::key::ObjectKey;

/// What is left to read of an object in a store.
///
/// object_store continues by itself if a connection breaks, but only for as long after the first byte as a request is
/// tried again: a large object takes longer.
pub(super) struct ResumableRead {
    remote: Arc<Remote>,
    path: Path,
    remaining: Range<u64>,
    /// Of the object that the reading began with: the end of another is not its end.
    e_tag: Option<String>,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
}

impl ResumableRead {
    pub(super) async fn begin(
        remote: &Arc<Remote>,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Self, Fault> {
        let mut read = Self {
            remote: Arc::clone(remote),
            path: key.path(),
            remaining: range,
            e_tag: None,
            stream: None,
        };
        match read.open().await {
            Ok(()) => Ok(read),
            Err(object_store::Error::NotFound { .. }) => Err(faults::object_missing(key)),
            Err(error) => Err(read.fault(error)),
        }
    }

    async fn open(&mut self) -> object_store::Result<()> {
        if self.remaining.is_empty() {
            return Ok(());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.remaining.clone())),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        match self.remote.objects.get_opts(&self.path, options).await {
            Ok(found) => {
                self.e_tag.clone_from(&found.meta.e_tag);
                self.stream = Some(found.into_stream());
            }
            Err(error) if self.begins_behind_the_end(&error).await => {
                self.remaining.start = self.remaining.end;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether a store refused a range because the object ends before it: that is damage, and not the store's fault.
    async fn begins_behind_the_end(&mut self, error: &object_store::Error) -> bool {
        let passing = RequestError::inside(error).is_some_and(RequestError::may_pass);
        if passing || matches!(error, object_store::Error::NotFound { .. }) {
            return false;
        }
        let found = self.remote.object_size(&self.path).await;
        found.is_ok_and(|size| size.is_some_and(|size| size <= self.remaining.start))
    }

    async fn piece(&mut self) -> object_store::Result<Option<Bytes>> {
        if self.stream.is_none() {
            self.open().await?;
        }
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let piece = stream.try_next().await?;
        match &piece {
            Some(piece) => self.remaining.start += piece.len() as u64,
            // The object ends before the range does.
            None => self.remaining.start = self.remaining.end,
        }
        Ok(piece)
    }

    fn fault(&self, error: object_store::Error) -> Fault {
        faults::of_object_store(format!("cannot read {}", self.path), error)
    }
}

#[async_trait]
impl BackendRead for ResumableRead {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let mut tries = self.remote.retry.tries();
        loop {
            let error = match self.piece().await {
                Ok(piece) => return Ok(piece),
                Err(error) => error,
            };
            self.stream = None;
            let again = tries.again("read on", error).await;
            again.map_err(|error| self.fault(error))?;
        }
    }
}
