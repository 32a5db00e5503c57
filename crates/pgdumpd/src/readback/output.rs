//! Where a backup is brought back to: a local file, or a pipe.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::new_file::NewFile;
use crate::code::Code;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;

/// What a caller names.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// A file that is there whole and verified, or not at all.
    NewFile(&'a Path),
    /// Standard output. The last piece is written only once everything is verified: whoever reads a backup that is
    /// damaged finds it cut off. Set once anything was written, which cannot be taken back.
    Stdout(&'a AtomicBool),
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Destination<'a> {
    fn from(path: &'a P) -> Self {
        Self::NewFile(path.as_ref())
    }
}

/// Standard output, with the piece that is held back.
pub(super) struct Pipe<'a> {
    held: Mutex<Option<Bytes>>,
    begun: &'a AtomicBool,
}

/// The same while it is written.
pub(super) enum Output<'a> {
    File(NewFile),
    Stdout(Pipe<'a>),
}

impl<'a> Output<'a> {
    pub(super) async fn create(to: Destination<'a>) -> Result<Self, Fault> {
        Ok(match to {
            Destination::NewFile(path) => Self::File(NewFile::create(path).await?),
            Destination::Stdout(begun) => Self::Stdout(Pipe {
                held: Mutex::default(),
                begun,
            }),
        })
    }

    /// Writes the next bytes, which belong to this place of a file.
    pub(super) async fn write(&self, bytes: Bytes, offset: u64) -> Result<(), Fault> {
        match self {
            Self::File(file) => file.write(bytes, offset).await,
            Self::Stdout(pipe) => pipe.write_before(Some(bytes)).await,
        }
    }

    /// The file, where what was written can be changed.
    pub(super) fn file(&self) -> Option<&NewFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Stdout(_) => None,
        }
    }

    /// Ends what is whole and verified.
    pub(super) async fn keep(self) -> Result<(), Fault> {
        match self {
            Self::File(file) => file.keep().await,
            Self::Stdout(pipe) => pipe.write_before(None).await,
        }
    }
}

impl Pipe<'_> {
    /// Writes what was held back, and holds this back instead.
    async fn write_before(&self, next: Option<Bytes>) -> Result<(), Fault> {
        let before = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, next)
        };
        let Some(bytes) = before else {
            return Ok(());
        };
        self.begun.store(true, Ordering::Relaxed);
        let written = off_runtime("writes to standard output", move || {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&bytes)?;
            stdout.flush()
        });
        written.await?.map_err(|error: io::Error| {
            Fault::permanent(Code::FileFailed, "cannot write to standard output").caused_by(error)
        })
    }
}
