//! One archive on its way into an object store: parts of one size, several at once.

use std::mem;

use bytes::Bytes;
use object_store::PutPayload;
use tokio::task::JoinSet;

use super::faults;
use super::key::ObjectKey;
use crate::fault::Fault;

/// All parts but the last have this size: R2 wants them equal. With S3's 10,000 parts it allows 156 GiB.
const PART_SIZE: usize = 16 << 20;
/// Parts under way at once: enough to fill a link over a long round trip, at 64 MiB of memory; one more is being
/// collected.
const PARTS_IN_FLIGHT: usize = 4;

#[derive(Debug)]
pub(super) struct MultipartUpload {
    key: ObjectKey,
    upload: Box<dyn object_store::MultipartUpload>,
    collected: Vec<Bytes>,
    collected_bytes: usize,
    in_flight: JoinSet<object_store::Result<()>>,
    written: u64,
}

impl MultipartUpload {
    pub(super) fn new(key: ObjectKey, upload: Box<dyn object_store::MultipartUpload>) -> Self {
        Self {
            key,
            upload,
            collected: Vec::new(),
            collected_bytes: 0,
            in_flight: JoinSet::new(),
            written: 0,
        }
    }

    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), Fault> {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PART_SIZE - self.collected_bytes;
            let piece = bytes.split_to(room.min(bytes.len()));
            self.collected_bytes += piece.len();
            self.collected.push(piece);
            if self.collected_bytes == PART_SIZE {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn commit(mut self) -> Result<u64, Fault> {
        let committed = self.finish().await;
        if committed.is_err() {
            self.give_up().await?;
        }
        committed.map(|()| self.written)
    }

    pub(super) async fn abort(mut self) -> Result<(), Fault> {
        self.give_up().await
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        if self.collected_bytes > 0 {
            self.send_part().await?;
        }
        while !self.in_flight.is_empty() {
            self.join_part().await?;
        }
        self.upload
            .complete()
            .await
            .map_err(|e| self.fault("cannot complete", e))?;
        Ok(())
    }

    async fn give_up(&mut self) -> Result<(), Fault> {
        self.in_flight.shutdown().await;
        self.upload
            .abort()
            .await
            .map_err(|e| self.fault("cannot abort the upload of", e))
    }

    async fn send_part(&mut self) -> Result<(), Fault> {
        if self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.join_part().await?;
        }
        self.collected_bytes = 0;
        let part: PutPayload = mem::take(&mut self.collected).into_iter().collect();
        self.in_flight.spawn(self.upload.put_part(part));
        Ok(())
    }

    async fn join_part(&mut self) -> Result<(), Fault> {
        match self.in_flight.join_next().await {
            Some(Ok(Err(error))) => Err(self.fault("cannot write a part of", error)),
            Some(Err(error)) => {
                let what = format!("cannot write a part of {}", self.key);
                Err(Fault::transient("storage_failed", what).caused_by(error))
            }
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    fn fault(&self, what: &str, error: object_store::Error) -> Fault {
        faults::of_object_store(format!("{what} {}", self.key), error)
    }
}
