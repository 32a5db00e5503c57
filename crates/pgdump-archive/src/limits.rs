//! What an archive may make the parser keep in memory.

/// Bounds on memory, so that a hostile archive cannot exhaust it.
///
/// Nothing is allocated for a length that an archive only claims: buffers grow with the bytes
/// that have arrived. Data blocks are never kept, so their size has no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest string of the table of contents, in bytes: a function's body, a view's query.
    pub max_string_bytes: usize,
    /// The memory that the whole table of contents may take, in bytes: strings, entries, index.
    ///
    /// An ordinary entry counts for about 1 kB, long definitions for more. Up to pg_dump 16 each
    /// large object has an entry. While one long entry is read, its bytes are held a second time.
    pub max_toc_bytes: usize,
}

impl Limits {
    /// The longest string of the header, in bytes: a database's name or a version.
    pub(crate) const MAX_HEADER_STRING_BYTES: usize = 64 << 10;

    /// Sets [`max_string_bytes`](Self::max_string_bytes).
    #[must_use]
    pub fn with_max_string_bytes(mut self, bytes: usize) -> Self {
        self.max_string_bytes = bytes;
        self
    }

    /// Sets [`max_toc_bytes`](Self::max_toc_bytes).
    #[must_use]
    pub fn with_max_toc_bytes(mut self, bytes: usize) -> Self {
        self.max_toc_bytes = bytes;
        self
    }
}

/// 64 MiB for a string, 1 GiB for the table of contents: about a million entries.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_string_bytes: 64 << 20,
            max_toc_bytes: 1 << 30,
        }
    }
}
