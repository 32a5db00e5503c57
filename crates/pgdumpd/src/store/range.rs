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
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};

use super::key::ObjectKey;
use super::{Place, Storage, blocking, faults};
use crate::fault::Fault;

/// What is read of a file at once.
const PIECE_BYTES: u64 = 1 << 20;

/// The bytes of a range, in order.
pub struct Pieces {
    what: String,
    from: From,
}

enum From {
    File {
        file: Arc<File>,
        path: PathBuf,
        left: Range<u64>,
    },
    Store(BoxStream<'static, object_store::Result<Bytes>>),
}

impl Storage {
    /// The size of a stored object; none if there is none.
    ///
    /// # Errors
    /// The storage's.
    pub async fn object_size(&self, key: &ObjectKey) -> Result<Option<u64>, Fault> {
        match self.objects.head(&key.path()).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => {
                let what = format!("cannot look at {key}");
                Err(faults::of_object_store(what, error))
            }
        }
    }

    /// Begins to read a part of an object. An object that ends before the range does gives what it has.
    ///
    /// # Errors
    /// The storage's.
    pub async fn read_range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Pieces, Fault> {
        let what = format!("cannot read {key}");
        if let Place::Local { root, .. } = &self.place {
            let path = root.join(key.as_str());
            let (opened, told) = (path.clone(), what.clone());
            let file =
                blocking(move || File::open(&opened).map_err(|e| faults::of_io(told, &opened, e)));
            let from = From::File {
                file: Arc::new(file.await?),
                path,
                left: range,
            };
            return Ok(Pieces { what, from });
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let found = self.objects.get_opts(&key.path(), options).await;
        let found = found.map_err(|e| faults::of_object_store(what.clone(), e))?;
        let from = From::Store(found.into_stream());
        Ok(Pieces { what, from })
    }
}

impl Pieces {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The storage's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.from {
            From::Store(stream) => {
                let next = stream.try_next().await;
                next.map_err(|e| faults::of_object_store(self.what.clone(), e))
            }
            From::File { file, path, left } => {
                if left.is_empty() {
                    return Ok(None);
                }
                let count = PIECE_BYTES.min(left.end - left.start);
                let (from, at) = (Arc::clone(file), left.start);
                let (path, what) = (path.clone(), self.what.clone());
                let piece = blocking(move || {
                    read_at(&from, at, count).map_err(|e| faults::of_io(what, &path, e))
                })
                .await?;
                left.start += piece.len() as u64;
                if piece.is_empty() {
                    left.start = left.end;
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
