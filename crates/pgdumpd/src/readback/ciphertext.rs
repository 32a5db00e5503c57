//! A stored object as something that can be read and sought in, on a thread that may block.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::encryption::SEALED_CHUNK_BYTES;
use crate::fault::Fault;
use crate::hex::hex;
use crate::store::{ByteStream, ObjectKey, Storage};

/// Reads an object from its storage as it is asked for, in one request for each place that is sought.
///
/// What the storage says comes out of an [`io::Error`] again by
/// [`fault_of_reading`](crate::encryption::fault_of_reading).
pub(super) struct Ciphertext {
    storage: Storage,
    key: ObjectKey,
    size: u64,
    runtime: Handle,
    /// The object's first bytes, where they are known: the encryption's header.
    head: Bytes,
    at: u64,
    /// How far will be read: a request ends there.
    until: u64,
    request: Option<ByteStream>,
    requested: u64,
    /// There is nothing at `at` or behind it.
    ended: bool,
    /// What has come of the request and is not taken yet.
    piece: Bytes,
    read_bytes: Arc<AtomicU64>,
    hash: Option<(Sha256, u64)>,
}

impl Ciphertext {
    /// Of the object under this key, of which everything will be read, from the first byte on.
    pub(super) fn new(storage: Storage, key: ObjectKey, size: u64) -> Self {
        Self {
            storage,
            key,
            size,
            runtime: Handle::current(),
            head: Bytes::new(),
            at: 0,
            until: u64::MAX >> 1,
            request: None,
            requested: 0,
            ended: false,
            piece: Bytes::new(),
            read_bytes: Arc::default(),
            hash: None,
        }
    }

    /// Knows the first bytes already, and will be read up to this place.
    pub(super) fn part(mut self, head: Bytes, until: u64) -> Self {
        self.head = head;
        self.until = until;
        self
    }

    /// Adds what is read from the storage to this count.
    pub(super) fn counted(mut self, read_bytes: Arc<AtomicU64>) -> Self {
        self.read_bytes = read_bytes;
        self
    }

    /// Hashes what is read; only for what is read in order.
    pub(super) fn hashed(mut self) -> Self {
        self.hash = Some((Sha256::new(), 0));
        self
    }

    /// Reads what is left; size and SHA-256 of everything.
    pub(super) fn digest(mut self) -> Result<(u64, String), Fault> {
        while !self.fill()?.is_empty() {
            let count = self.piece.len();
            self.advance(count);
        }
        let (sha256, size) = self.hash.unwrap_or_default();
        Ok((size, hex(&sha256.finalize())))
    }

    /// The buffered bytes, or new ones of the storage if there are none; empty at the object's end.
    fn fill(&mut self) -> Result<&Bytes, Fault> {
        while self.piece.is_empty() && !self.ended {
            let known = usize::try_from(self.at).ok();
            if let Some(rest) = known.and_then(|at| self.head.get(at..))
                && !rest.is_empty()
            {
                self.piece = self.head.slice_ref(rest);
                break;
            }
            match self.next_piece()? {
                Some(piece) => self.piece = piece,
                // The request is through, the object is not.
                None if self.at >= self.requested && self.at < self.size => self.request = None,
                None => self.ended = true,
            }
        }
        Ok(&self.piece)
    }

    fn next_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let request = match &mut self.request {
            Some(request) => request,
            None => {
                self.requested = if self.until > self.at {
                    self.until
                } else {
                    // Not expected: nothing is read past `until`.
                    self.at + SEALED_CHUNK_BYTES
                };
                let range = self.at..self.requested;
                let read = self.storage.read_range(&self.key, range);
                self.request.insert(self.runtime.block_on(read)?)
            }
        };
        let next = self.runtime.block_on(request.next())?;
        if let Some(piece) = &next {
            let count = piece.len() as u64;
            self.read_bytes.fetch_add(count, Ordering::Relaxed);
            if let Some((sha256, size)) = &mut self.hash {
                sha256.update(piece);
                *size += count;
            }
        }
        Ok(next)
    }

    fn advance(&mut self, count: usize) {
        self.at += count as u64;
        let _ = self.piece.split_to(count);
    }
}

impl Read for Ciphertext {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (at, size) = (self.at, self.size);
        let piece = self.fill().map_err(io::Error::other)?;
        if piece.is_empty() && at < size {
            let what = format!("it ends after {at} of {size} bytes");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        self.advance(count);
        Ok(count)
    }
}

impl Seek for Ciphertext {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        let to = to.ok_or(io::ErrorKind::InvalidInput)?;
        if to != self.at {
            self.at = to;
            self.request = None;
            self.ended = false;
            self.piece = Bytes::new();
        }
        Ok(to)
    }
}
