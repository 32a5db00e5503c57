//! Reads a part of a stored object, piece by piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};

use super::key::ObjectKey;
use super::local::directory::Root;
use super::local::read::Entry;
use super::remote::Remote;
use super::remote::error::RequestError;
use super::{Place, Storage, blocking, faults};
use crate::code::Code;
use crate::fault::Fault;

/// What is read of a file at once.
const PIECE_BYTES: u64 = 1 << 20;

/// The bytes of a range, in order.
pub struct ByteStream {
    what: String,
    from: From,
}

enum From {
    File {
        file: Arc<File>,
        path: PathBuf,
        remaining: Range<u64>,
    },
    Store(Box<ResumableRead>),
}

/// What is left to read of an object in a store.
///
/// object_store continues by itself if a connection breaks, but only for as long after the first byte as a request is
/// tried again: a large object takes longer.
struct ResumableRead {
    remote: Arc<Remote>,
    path: Path,
    remaining: Range<u64>,
    /// Of the object that the reading began with: the end of another is not its end.
    e_tag: Option<String>,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
}

impl Storage {
    /// The size of a stored object; `None` if there is none.
    ///
    /// # Errors
    /// The storage's.
    pub async fn object_size(&self, key: &ObjectKey) -> Result<Option<u64>, Fault> {
        self.size_of(key.as_str()).await
    }

    /// Begins to read a part of an object. An object that ends before the range does gives what it has.
    ///
    /// # Errors
    /// `object_missing` where there is none, or something else in its place; the storage's.
    pub async fn read_range(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<ByteStream, Fault> {
        let what = format!("cannot read {key}");
        let from = match &self.place {
            Place::Local { root, .. } => {
                let path = root.join(key.as_str());
                let (root, key) = (root.clone(), key.clone());
                let opened = blocking(move || open(&root, &key)).await;
                From::File {
                    file: Arc::new(self.unless_away(opened).await?),
                    path,
                    remaining: range,
                }
            }
            Place::Remote(remote) => {
                let mut read = ResumableRead {
                    remote: Arc::clone(remote),
                    path: key.path(),
                    remaining: range,
                    e_tag: None,
                    stream: None,
                };
                let opened = read.open().await.map_err(|error| match error {
                    object_store::Error::NotFound { .. } => missing(key),
                    error => faults::of_object_store(what.clone(), error),
                });
                self.unless_away(opened).await?;
                From::Store(Box::new(read))
            }
        };
        Ok(ByteStream { what, from })
    }

    /// An object is missing only where its storage is there.
    async fn unless_away<T>(&self, opened: Result<T, Fault>) -> Result<T, Fault> {
        if opened
            .as_ref()
            .is_err_and(|fault| fault.code() == Code::ObjectMissing)
        {
            self.confirm().await?;
        }
        opened
    }
}

fn missing(key: &ObjectKey) -> Fault {
    Fault::transient(Code::ObjectMissing, format!("{key} is missing"))
        .hint("Somebody has removed it: take the backup from another storage.")
}

/// Opens an object in a local directory.
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
        Entry::None => Err(missing(key)),
    }
}

impl ResumableRead {
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
        let found = self.remote.size_of(&self.path).await;
        found.is_ok_and(|size| size.is_some_and(|size| size <= self.remaining.start))
    }

    async fn next(&mut self) -> object_store::Result<Option<Bytes>> {
        let mut tries = self.remote.retry.tries();
        loop {
            match self.piece().await {
                Ok(piece) => return Ok(piece),
                Err(error) => {
                    self.stream = None;
                    tries.again("read on", error).await?;
                }
            }
        }
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
}

impl ByteStream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The storage's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.from {
            From::Store(read) => {
                let next = read.next().await;
                next.map_err(|e| faults::of_object_store(self.what.clone(), e))
            }
            From::File {
                file,
                path,
                remaining,
            } => {
                if remaining.is_empty() {
                    return Ok(None);
                }
                let count = PIECE_BYTES.min(remaining.end - remaining.start);
                let (from, at) = (Arc::clone(file), remaining.start);
                let (path, what) = (path.clone(), self.what.clone());
                let piece = blocking(move || {
                    read_at(&from, at, count).map_err(|e| faults::of_io(what, &path, e))
                })
                .await?;
                remaining.start += piece.len() as u64;
                if piece.is_empty() {
                    remaining.start = remaining.end;
                    return Ok(None);
                }
                Ok(Some(piece.into()))
            }
        }
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
