//! The last step before the sink: encrypts where that is asked for, and hashes what goes out.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::end::{ArchiveEnd, Streamed};
use super::error::StreamEnd;
use crate::encryption::{Encryptor, Recipients};
use crate::hex::hex;

/// On the thread that hashes: both together pass several times what a COPY gives (docs/BENCHMARKS.md), and a thread of
/// its own would take a processor from pg_dump and the server.
pub(super) struct Output<'a> {
    encryptor: Option<Encryptor>,
    hash: Hash,
    archive_bytes: u64,
    outgoing: &'a mpsc::Sender<Bytes>,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        encrypt_to: Option<&Recipients>,
        outgoing: &'a mpsc::Sender<Bytes>,
    ) -> Result<Self, StreamEnd> {
        let encryptor = encrypt_to.map(Encryptor::new).transpose();
        Ok(Self {
            encryptor: encryptor.map_err(StreamEnd::internal)?,
            hash: Hash::default(),
            archive_bytes: 0,
            outgoing,
        })
    }

    /// Passes the archive's next bytes on. Blocks while the sink cannot take them.
    pub(super) fn send(&mut self, bytes: Bytes) -> Result<(), StreamEnd> {
        self.archive_bytes += bytes.len() as u64;
        match &mut self.encryptor {
            Some(encryptor) => {
                let ciphertext = encryptor.push(&bytes).map_err(StreamEnd::internal)?;
                self.hash_and_send(ciphertext)
            }
            None => self.hash_and_send(bytes),
        }
    }

    /// Ends the stream; `dump_bytes` came from the source, of the archive itself if `None`.
    pub(super) fn end(
        mut self,
        end: ArchiveEnd,
        dump_bytes: Option<u64>,
    ) -> Result<Streamed, StreamEnd> {
        if let Some(encryptor) = self.encryptor.take() {
            let rest = encryptor.finish().map_err(StreamEnd::internal)?;
            self.hash_and_send(rest)?;
        }
        let archive_bytes = self.archive_bytes;
        let dump_bytes = dump_bytes.unwrap_or(archive_bytes);
        Ok(self.hash.streamed(end, dump_bytes, archive_bytes))
    }

    fn hash_and_send(&mut self, bytes: Bytes) -> Result<(), StreamEnd> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.hash.add(&bytes);
        self.outgoing
            .blocking_send(bytes)
            .map_err(|_| StreamEnd::Abandoned)
    }
}

/// The SHA-256 and the size of what goes to the sink.
#[derive(Default)]
struct Hash {
    sha256: Sha256,
    size: u64,
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The end of a stream of which all bytes were added, with how many came from the source, and how many were
    /// encrypted.
    fn streamed(self, end: ArchiveEnd, dump_bytes: u64, archive_bytes: u64) -> Streamed {
        Streamed {
            end,
            size: self.size,
            dump_bytes,
            archive_bytes,
            sha256: hex(&self.sha256.finalize()),
        }
    }
}
