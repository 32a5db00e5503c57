//! The proof that an archive is whole.

/// Says that a whole archive went through the parser: a complete header and table of contents,
/// every entry that owes data delivered it once, and nothing came after. Only
/// [`Parser::finish`](crate::Parser::finish) makes one.
///
/// It says nothing of the content: the format has no checksums, and the data was not decompressed.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// Entries in the table of contents.
    pub entries: usize,
    /// Data blocks: one for each entry that owed data.
    pub data_blocks: usize,
    /// Those of them that hold a table's rows.
    pub tables: usize,
    /// Large objects in the other blocks.
    pub large_objects: u64,
    /// Bytes of table rows and large objects as stored, perhaps compressed.
    pub data_bytes: u64,
    /// The size of the archive in bytes.
    pub archive_bytes: u64,
}
