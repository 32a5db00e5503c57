//! A part of a file, read piece by piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::directory::Root;
use super::read::Entry;
use crate::code::Code;
use crate::fault::Fault;
use crate::off_runtime::off_runtime;
use crate::store::backend::BackendRead;
use crate::store::faults;
use crate::store::key::ObjectKey;

/// What is read of a file at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Opens an object in a local directory. Blocks.
pub(super) fn open(root: &Root, key: &ObjectKey) -> Result<File, Fault> {
    let path = root.join(key.as_str());
    let what = || format!("cannot read {}", path.display());
    let opened = root.open_file(key.as_str());
    match opened.map_err(|e| faults::of_io(what(), root.path(), e))? {
        Entry::File(file) => Ok(file),
        Entry::Special => {
            let what = format!("{} is not a regular file", path.display());
            Err(Fault::permanent(Code::ObjectMissing, what))
        }
        Entry::None => Err(faults::object_missing(key)),
    }
}

/// What is left to read.
pub(super) struct FileRange {
    file: Arc<File>,
    path: PathBuf,
    remaining: Range<u64>,
}

impl FileRange {
    pub(super) fn new(file: File, path: PathBuf, range: Range<u64>) -> Self {
        Self {
            file: Arc::new(file),
            path,
            remaining: range,
        }
    }
}

#[async_trait]
impl BackendRead for FileRange {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.remaining.is_empty() {
            return Ok(None);
        }
        let at = self.remaining.start;
        let count = PIECE_BYTES.min(self.remaining.end - at);
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let piece = off_runtime("reads the object", move || {
            let what = || format!("cannot read {}", path.display());
            read_at(&file, at, count).map_err(|e| faults::of_io(what(), &path, e))
        })
        .await??;
        self.remaining.start += piece.len() as u64;
        if piece.is_empty() {
            // The file ends before the range does.
            self.remaining.start = self.remaining.end;
            return Ok(None);
        }
        Ok(Some(piece.into()))
    }
}

fn read_at(file: &File, at: u64, count: u64) -> io::Result<Vec<u8>> {
    // At most PIECE_BYTES.
    let mut piece = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
    loop {
        match file.read_at(&mut piece, at) {
            Ok(read) => {
                piece.truncate(read);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
