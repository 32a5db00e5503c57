//! Reads a part of a stored object, piece by piece.

use std::ops::Range;

use bytes::Bytes;

use super::Storage;
use super::backend::BackendRead;
use super::key::ObjectKey;
use crate::code::Code;
use crate::fault::Fault;

/// The bytes of a range, in order.
pub struct ByteStream(Box<dyn BackendRead>);

impl ByteStream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// The storage's.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.0.next().await
    }
}

impl Storage {
    /// The size of a stored object; `None` if there is none.
    ///
    /// # Errors
    /// The storage's.
    pub async fn object_size(&self, key: &ObjectKey) -> Result<Option<u64>, Fault> {
        self.backend.size_of(key.as_str()).await
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
        match self.backend.read(key, range).await {
            Ok(read) => Ok(ByteStream(read)),
            Err(fault) => {
                // An object is missing only where its storage is there.
                if fault.code() == Code::ObjectMissing {
                    self.confirm().await?;
                }
                Err(fault)
            }
        }
    }
}
