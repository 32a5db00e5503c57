//! One archive on its way into an object store: parts of one size, several at once, each tried again by itself.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use object_store::PutPayload;
use object_store::multipart::PartId;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::RequestError;
use super::part_size::Parts;
use crate::code::Code;
use crate::fault::Fault;
use crate::store::backend::BackendUpload;
use crate::store::faults;
use crate::store::key::ObjectKey;
use crate::store::remote::Remote;

/// An upload that has used this percentage of its parts is reported: the estimate was far off.
const WARN_PERCENT: u64 = 80;

/// Commit it or abort it. Dropped, it is aborted in the background, best effort.
#[derive(Debug)]
pub(super) struct MultipartUpload {
    key: ObjectKey,
    path: Path,
    remote: Arc<Remote>,
    id: String,
    /// An answer was lost, so there may be another upload of this key.
    begun_again: bool,
    parts: Parts,
    collected: BytesMut,
    /// The memory of parts that are there: an allocator that gets it back keeps more of it than an upload needs.
    spare: Vec<BytesMut>,
    in_flight: JoinSet<object_store::Result<SentPart>>,
    /// Ends the parts under way.
    stop: CancellationToken,
    /// By index; none while it is under way.
    sent: Vec<Option<PartId>>,
    written: u64,
    ended: bool,
}

/// A part that the server has, and the memory it was in, where nothing refers to it any more.
struct SentPart {
    index: usize,
    id: PartId,
    memory: Option<BytesMut>,
}

impl MultipartUpload {
    /// Begins an upload. May be dropped: what is begun then is aborted in the background.
    pub(super) async fn begin(
        remote: &Arc<Remote>,
        key: &ObjectKey,
        expected_bytes: Option<u64>,
    ) -> Result<Self, Fault> {
        let (remote, key) = (Arc::clone(remote), key.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "waited for here; goes on where nobody waits any more, so that what is begun is aborted"
        )]
        let begun = tokio::spawn(async move {
            let path = key.path();
            let tries = AtomicUsize::new(0);
            let create = || {
                tries.fetch_add(1, Ordering::Relaxed);
                remote.once.create_multipart(&path)
            };
            let id = remote.retry.run("begin", create).await.map_err(|error| {
                faults::of_object_store(format!("cannot begin the upload of {key}"), error)
            })?;
            let parts = remote.parts(expected_bytes);
            tracing::debug!(object.key = %key, part.size_bytes = parts.size, parts.in_flight, "upload begun");
            Ok(Self {
                key,
                path,
                remote,
                id,
                begun_again: tries.into_inner() > 1,
                parts,
                collected: BytesMut::new(),
                spare: Vec::new(),
                in_flight: JoinSet::new(),
                stop: CancellationToken::new(),
                sent: Vec::new(),
                written: 0,
                ended: false,
            })
        });
        begun.await.unwrap_or_else(|error| {
            let what = "the upload could not be begun";
            Err(Fault::transient(Code::StorageFailed, what).caused_by(error))
        })
    }

    /// All parts, in order.
    async fn finish(&mut self) -> Result<Vec<PartId>, Fault> {
        self.flush().await?;
        let parts: Option<Vec<PartId>> = mem::take(&mut self.sent).into_iter().collect();
        parts.ok_or_else(|| {
            Fault::transient(Code::StorageFailed, "the upload of a part got no answer")
        })
    }

    async fn put_empty(&self) -> Result<(), Fault> {
        self.remote.abort(&self.key, &self.id).await?;
        self.remote.put_object(&self.path, PutPayload::new()).await
    }

    /// Puts the parts together. If the answer is lost, the object shows the result: no one else writes under
    /// this key, so an object of this size is this one.
    async fn complete(&self, parts: Vec<PartId>) -> Result<(), Fault> {
        let what = format!("complete {}", self.key);
        let parts = &parts;
        let once = || async move {
            let client = &self.remote.once;
            match client
                .complete_multipart(&self.path, &self.id, parts.clone())
                .await
            {
                Ok(_) => Ok(()),
                Err(error) if self.is_there().await => {
                    tracing::info!(object.key = %self.key, %error, "the upload is complete although its answer was lost");
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        let completed = self.remote.retry.run(&what, once).await;
        completed.map_err(|error| self.fault("cannot complete", error))
    }

    async fn is_there(&self) -> bool {
        let size = self.remote.object_size(&self.path).await;
        size.is_ok_and(|size| size == Some(self.written))
    }

    async fn give_up(&mut self) -> Result<(), Fault> {
        self.stop.cancel();
        while self.in_flight.join_next().await.is_some() {}
        self.ended = true;
        abandon(&self.remote, &self.key, &self.id).await
    }

    async fn send_part(&mut self) -> Result<(), Fault> {
        while self.in_flight.len() >= self.parts.in_flight {
            self.join_part().await?;
        }
        let index = self.sent.len();
        self.sent.push(None);
        self.warn_when_nearly_full(index);
        let part = mem::take(&mut self.collected).freeze();
        let (remote, path, id) = (Arc::clone(&self.remote), self.path.clone(), self.id.clone());
        let stop = self.stop.clone();
        let what = format!("part {} of {}", index + 1, self.key);
        let runtime = Handle::current();
        // On a thread of its own, because a part is hashed before it is sent.
        self.in_flight.spawn_blocking(move || {
            let send = remote.retry.run(&what, || {
                let payload = PutPayload::from(part.clone());
                remote.once.put_part(&path, &id, index, payload)
            });
            let id = runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => Err(stopped()),
                    sent = send => sent,
                }
            })?;
            let memory = part.try_into_mut().ok();
            Ok(SentPart { index, id, memory })
        });
        Ok(())
    }

    async fn join_part(&mut self) -> Result<(), Fault> {
        match self.in_flight.join_next().await {
            Some(Ok(Ok(part))) => {
                self.sent[part.index] = Some(part.id);
                if let Some(mut memory) = part.memory {
                    memory.clear();
                    self.spare.push(memory);
                }
                Ok(())
            }
            Some(Ok(Err(error))) => Err(self.fault("cannot write a part of", error)),
            Some(Err(error)) => {
                let what = format!("cannot write a part of {}", self.key);
                Err(Fault::transient(Code::StorageFailed, what).caused_by(error))
            }
            None => Ok(()),
        }
    }

    fn part_size(&self) -> usize {
        usize::try_from(self.parts.size).unwrap_or(usize::MAX)
    }

    fn warn_when_nearly_full(&self, index: usize) {
        let most = u64::from(self.parts.most);
        // With few parts, the limit is near from the first one; then there is no time for a warning.
        if most >= 100 && index as u64 == most * WARN_PERCENT / 100 {
            tracing::warn!(
                object.key = %self.key,
                parts.sent = index,
                parts.most = most,
                part.size_bytes = self.parts.size,
                "the archive is much larger than was expected: soon it will not fit into the parts that the storage takes"
            );
        }
    }

    fn too_large(&self) -> Fault {
        let Parts { size, most, .. } = self.parts;
        let what = format!(
            "{} does not fit into {most} parts of {size} bytes, which were chosen for the expected size",
            self.key
        );
        Fault::permanent(Code::UploadTooLarge, what).hint(
            "Raise the storage's part_size, so that max_parts of them hold the archive; upload_memory then bounds how \
             many are under way.",
        )
    }

    fn fault(&self, what: &str, error: object_store::Error) -> Fault {
        let what = format!("{what} {}", self.key);
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Fault::transient(Code::StorageFailed, what)
                .caused_by(RequestError::Broken("the server does not know the upload any more".to_owned()))
                .hint("Someone aborted it, or a lifecycle rule did: give unfinished uploads more days than a dump takes.");
        }
        faults::of_object_store(what, error)
    }
}

#[async_trait]
impl BackendUpload for MultipartUpload {
    /// None if the store has no name for it, as Azure has not.
    fn id(&self) -> Option<&str> {
        Some(self.id.as_str()).filter(|id| !id.is_empty())
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), Fault> {
        if self.written.saturating_add(bytes.len() as u64) > self.parts.capacity() {
            return Err(self.too_large());
        }
        let size = self.part_size();
        while !bytes.is_empty() {
            if self.collected.len() == size {
                self.send_part().await?;
            }
            if self.collected.capacity() == 0 {
                self.collected = self
                    .spare
                    .pop()
                    .unwrap_or_else(|| BytesMut::with_capacity(size));
            }
            // Copied, so that a part holds what it has and not the larger buffers that it came in.
            let taken = bytes.len().min(size - self.collected.len());
            self.collected.extend_from_slice(&bytes[..taken]);
            bytes.advance(taken);
            self.written += taken as u64;
        }
        Ok(())
    }

    /// Sends what is left, and waits until all parts are there.
    async fn flush(&mut self) -> Result<(), Fault> {
        if !self.collected.is_empty() {
            self.send_part().await?;
        }
        while !self.in_flight.is_empty() {
            self.join_part().await?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<u64, Fault> {
        let committed = match self.finish().await {
            // No server completes an upload of no parts, and not every one takes an empty part.
            Ok(parts) if parts.is_empty() => self.put_empty().await,
            Ok(parts) => self.complete(parts).await,
            Err(fault) => Err(fault),
        };
        match committed {
            Ok(()) => {
                self.ended = true;
                if self.begun_again
                    && let Err(fault) = self.remote.abort_all_of(&self.key).await
                {
                    tracing::warn!(object.key = %self.key, error = %fault.report(), "an upload may stay unfinished");
                }
                Ok(self.written)
            }
            Err(fault) => {
                if let Err(left) = self.give_up().await {
                    tracing::warn!(object.key = %self.key, error = %left.report(), "an upload stays unfinished");
                }
                Err(fault)
            }
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<(), Fault> {
        self.give_up().await
    }
}

impl Drop for MultipartUpload {
    fn drop(&mut self) {
        self.stop.cancel();
        if self.ended {
            return;
        }
        let (remote, key, id) = (Arc::clone(&self.remote), self.key.clone(), self.id.clone());
        let mut in_flight = mem::take(&mut self.in_flight);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                while in_flight.join_next().await.is_some() {}
                if let Err(fault) = abandon(&remote, &key, &id).await {
                    tracing::warn!(object.key = %key, error = %fault.report(), "an upload stays unfinished");
                }
            });
        }
    }
}

/// Aborts an upload, with any other of its key that an answer was lost of, and removes its object where the server
/// completed it without our knowing: it has no manifest.
async fn abandon(remote: &Remote, key: &ObjectKey, id: &str) -> Result<(), Fault> {
    let aborted = remote.abort(key, id).await;
    let others = remote.abort_all_of(key).await;
    let path = key.path();
    let cannot = |error| faults::of_object_store(format!("cannot inspect {key}"), error);
    if remote.object_size(&path).await.map_err(cannot)?.is_some() {
        remote.delete(&path).await?;
    }
    aborted.and(others)
}

fn stopped() -> object_store::Error {
    object_store::Error::Generic {
        store: "upload",
        source: "the upload was abandoned".into(),
    }
}
