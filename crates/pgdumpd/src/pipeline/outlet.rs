//! The last step before the sink: encrypts where that is asked for, and hashes what goes out.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::end::{ArchiveEnd, Streamed};
use super::hash::Hash;
use super::inspector::Stop;
use crate::encryption::{Encrypter, Recipients};

/// On the thread that hashes: both together pass several times what a COPY gives (docs/BENCHMARKS.md), and a thread of
/// its own would take a processor from pg_dump and the server.
pub(super) struct Outlet<'a> {
    encrypter: Option<Encrypter>,
    hash: Hash,
    archive_bytes: u64,
    outgoing: &'a mpsc::Sender<Bytes>,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(
        encrypt_to: Option<&Recipients>,
        outgoing: &'a mpsc::Sender<Bytes>,
    ) -> Result<Self, Stop> {
        let encrypter = encrypt_to.map(Encrypter::new).transpose();
        Ok(Self {
            encrypter: encrypter.map_err(Stop::Fault)?,
            hash: Hash::default(),
            archive_bytes: 0,
            outgoing,
        })
    }

    /// Passes the archive's next bytes on. Blocks while the sink cannot take them.
    pub(super) fn send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        self.archive_bytes += bytes.len() as u64;
        match &mut self.encrypter {
            Some(encrypter) => {
                let ciphertext = encrypter.push(&bytes).map_err(Stop::Fault)?;
                self.hash_and_send(ciphertext)
            }
            None => self.hash_and_send(bytes),
        }
    }

    /// Ends the stream; so many bytes came from the source, of the archive itself if not said.
    pub(super) fn end(
        mut self,
        end: ArchiveEnd,
        dump_bytes: Option<u64>,
    ) -> Result<Streamed, Stop> {
        if let Some(encrypter) = self.encrypter.take() {
            let rest = encrypter.finish().map_err(Stop::Fault)?;
            self.hash_and_send(rest)?;
        }
        let archive_bytes = self.archive_bytes;
        let dump_bytes = dump_bytes.unwrap_or(archive_bytes);
        Ok(self.hash.streamed(end, dump_bytes, archive_bytes))
    }

    fn hash_and_send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.hash.add(&bytes);
        self.outgoing
            .blocking_send(bytes)
            .map_err(|_| Stop::Abandoned)
    }
}
