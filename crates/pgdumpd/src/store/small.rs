//! What is read of a small object.

use bytes::Bytes;

/// What a small object turned out to be.
#[derive(Debug)]
pub(super) enum Small {
    /// Its content, as it is stored in the storage now.
    Whole(Bytes),
    /// It has more bytes than it may have.
    TooLarge,
    /// Something that is not a regular file is in its place.
    NotAFile,
    /// There is none.
    Missing,
}
