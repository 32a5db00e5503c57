//! Encrypts a stream that is pushed, piece by piece.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::StreamWriter;
use bytes::Bytes;

use super::Recipients;
use crate::code::Code;
use crate::fault::Fault;

/// Takes plaintext and gives ciphertext, which together with [`Encryptor::finish`]'s is one age file.
///
/// Holds less than one chunk of plaintext. Is work for a thread of its own.
pub struct Encryptor {
    stream: StreamWriter<Outlet>,
    outlet: Outlet,
}

/// What the stream writes to: it does not give its writer out before its end.
#[derive(Clone, Default)]
struct Outlet(Arc<Mutex<Vec<u8>>>);

impl Encryptor {
    /// Begins a file that each of the recipients can decrypt, with a key of its own.
    ///
    /// # Errors
    /// As [`Recipients::writer`].
    pub fn new(recipients: &Recipients) -> Result<Self, Fault> {
        let outlet = Outlet::default();
        let stream = recipients.writer(outlet.clone())?;
        Ok(Self { stream, outlet })
    }

    /// Takes the next plaintext; what of the ciphertext is ready, which may be nothing.
    ///
    /// # Errors
    /// `encryption_failed`.
    pub fn push(&mut self, plaintext: &[u8]) -> Result<Bytes, Fault> {
        self.stream.write_all(plaintext).map_err(failed)?;
        Ok(self.outlet.take())
    }

    /// The rest of the ciphertext. Without it the file counts as cut off.
    ///
    /// # Errors
    /// `encryption_failed`.
    pub fn finish(self) -> Result<Bytes, Fault> {
        self.stream.finish().map_err(failed)?;
        Ok(self.outlet.take())
    }
}

impl Outlet {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::transient(Code::EncryptionFailed, "cannot encrypt").caused_by(error)
}
