//! Writes a header and a table of contents as pg_dump does.

use crate::{
    ArchiveVersion, Compression, Created, DataOffset, DumpId, Header, Section, Text, Toc, TocEntry,
};

const MAGIC: &[u8] = b"PGDMP";
const CUSTOM_FORMAT: u8 = 1;
/// zlib's own default: what pg_dump records up to 1.14 when no level was asked for.
const DEFAULT_LEVEL: i32 = -1;

/// Why a header or a table of contents cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The version has no place for this compression: before 1.15 there are only none and gzip.
    #[error("archive version {version} cannot record {compression}")]
    Compression {
        /// The version of the header.
        version: ArchiveVersion,
        /// The compression that it cannot record.
        compression: Compression,
    },
    /// A version, or a size of integers or offsets, that this crate does not write.
    #[error("an archive of version {version} with this layout cannot be written")]
    Layout {
        /// The version of the header.
        version: ArchiveVersion,
    },
    /// A data offset that does not fit the header's `off_size`.
    #[error("the data offset {offset} of dump id {dump_id} does not fit the archive")]
    Offset {
        /// The entry.
        dump_id: DumpId,
        /// Its offset in bytes.
        offset: u64,
    },
    /// A string, or the number of entries, of 2 GiB or more.
    #[error("a length of {length} does not fit the archive")]
    Length {
        /// The length in bytes or entries.
        length: usize,
    },
}

/// The bytes from an archive's start to its first data block.
///
/// For whatever pg_dump wrote, this is the inverse of the parser, byte for byte. The fields that
/// an archive of the header's version does not have are left out; those that it has and the
/// entries lack are written as NULL.
///
/// # Errors
///
/// What the header's version, or its sizes, cannot express.
pub fn encode(header: &Header, toc: &Toc) -> Result<Vec<u8>, EncodeError> {
    let mut out = Writer(Vec::new());
    out.header(header)?;
    out.length(toc.entries().len())?;
    for entry in toc.entries() {
        out.entry(entry, header)?;
    }
    Ok(out.0)
}

/// The bytes of an integer: its sign, and its magnitude with the lowest byte first.
pub(crate) fn int(value: i32) -> [u8; 5] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [u8::from(value < 0), a, b, c, d]
}

struct Writer(Vec<u8>);

impl Writer {
    fn header(&mut self, header: &Header) -> Result<(), EncodeError> {
        let version = header.version;
        if !version.is_supported() || header.int_size != 4 || !matches!(header.off_size, 4 | 8) {
            return Err(EncodeError::Layout { version });
        }
        self.0.extend_from_slice(MAGIC);
        self.0
            .extend([version.major, version.minor, version.revision]);
        self.0
            .extend([header.int_size, header.off_size, CUSTOM_FORMAT]);
        let compression = header.compression;
        if version.has_compression_algorithm() {
            self.0.push(compression.byte());
        } else {
            let level = match (compression, header.compression_level) {
                (Compression::None, _) => 0,
                (Compression::Gzip, Some(level)) if level != 0 => level,
                (Compression::Gzip, _) => DEFAULT_LEVEL,
                _ => {
                    return Err(EncodeError::Compression {
                        version,
                        compression,
                    });
                }
            };
            self.int(level);
        }
        self.created(header.created);
        self.string(Some(&header.database))?;
        self.string(Some(&header.server_version))?;
        self.string(Some(&header.dump_version))
    }

    fn created(&mut self, created: Created) {
        self.int(created.second);
        self.int(created.minute);
        self.int(created.hour);
        self.int(created.day);
        self.int(created.month0);
        self.int(created.year_since_1900);
        self.int(created.is_dst);
    }

    fn entry(&mut self, entry: &TocEntry, header: &Header) -> Result<(), EncodeError> {
        self.int(entry.dump_id.get());
        self.int(entry.owes_data.into());
        self.bytes(entry.catalog_oid.to_string().as_bytes())?;
        self.bytes(entry.oid.to_string().as_bytes())?;
        self.string(Some(&entry.tag))?;
        self.string(Some(&entry.description))?;
        self.int(match entry.section {
            Section::None => 1,
            Section::PreData => 2,
            Section::Data => 3,
            Section::PostData => 4,
        });
        self.string(entry.definition.as_ref())?;
        self.string(entry.drop_statement.as_ref())?;
        self.string(entry.copy_statement.as_ref())?;
        self.string(entry.schema.as_ref())?;
        self.string(entry.tablespace.as_ref())?;
        if header.version.has_access_method() {
            self.string(entry.access_method.as_ref())?;
        }
        if header.version.has_relkind() {
            self.int(entry.relkind.unwrap_or(0).into());
        }
        self.string(entry.owner.as_ref())?;
        self.bytes(if entry.with_oids { b"true" } else { b"false" })?;
        for dependency in &entry.dependencies {
            self.bytes(dependency.to_string().as_bytes())?;
        }
        self.string(None)?;
        self.offset(entry, header.off_size)
    }

    fn offset(&mut self, entry: &TocEntry, off_size: u8) -> Result<(), EncodeError> {
        let (flag, offset) = match entry.data_offset {
            DataOffset::Unknown => (1, 0),
            DataOffset::At(offset) => (2, offset),
            DataOffset::NoData => (3, 0),
        };
        let bytes = offset.to_le_bytes();
        let (stored, beyond) = bytes.split_at(usize::from(off_size.min(8)));
        if beyond.iter().any(|byte| *byte != 0) {
            let dump_id = entry.dump_id;
            return Err(EncodeError::Offset { dump_id, offset });
        }
        self.0.push(flag);
        self.0.extend_from_slice(stored);
        Ok(())
    }

    fn int(&mut self, value: i32) {
        self.0.extend_from_slice(&int(value));
    }

    fn length(&mut self, length: usize) -> Result<(), EncodeError> {
        self.int(i32::try_from(length).map_err(|_| EncodeError::Length { length })?);
        Ok(())
    }

    fn string(&mut self, text: Option<&Text>) -> Result<(), EncodeError> {
        match text {
            Some(text) => self.bytes(text.as_bytes()),
            None => {
                self.int(-1);
                Ok(())
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.length(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl Header {
    /// The header of the same archive with its data compressed in another way.
    ///
    /// `level` is recorded by archives up to 1.14 alone, and only for gzip. Those cannot say lz4
    /// or zstd: with `raise` an archive of 1.14 becomes one of 1.15, whose layout is otherwise the
    /// same; then pg_restore 16 or later is needed to read it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Compression`] if the version cannot record the compression.
    pub fn with_compression(
        &self,
        compression: Compression,
        level: Option<i32>,
        raise: bool,
    ) -> Result<Self, EncodeError> {
        let mut header = self.clone();
        header.compression = compression;
        let old = !self.version.has_compression_algorithm();
        if old && matches!(compression, Compression::Lz4 | Compression::Zstd) {
            let raisable = (self.version.major, self.version.minor) == (1, 14);
            if !(raise && raisable) {
                return Err(EncodeError::Compression {
                    version: self.version,
                    compression,
                });
            }
            header.version = ArchiveVersion::FIRST_WITH_ALGORITHM;
        }
        header.compression_level = match compression {
            _ if header.version.has_compression_algorithm() => None,
            Compression::None => Some(0),
            _ => Some(level.filter(|level| *level != 0).unwrap_or(DEFAULT_LEVEL)),
        };
        Ok(header)
    }
}

impl Toc {
    /// The table of contents with other data offsets: what `offset` gives for an entry that owes
    /// data, [`DataOffset::Unknown`] where it gives none. Its length in the archive stays the same.
    ///
    /// Whoever changes the size of data must reset the offsets, or pg_restore looks for blocks
    /// where there are none.
    #[must_use]
    pub fn with_offsets(&self, mut offset: impl FnMut(DumpId) -> Option<u64>) -> Self {
        let mut toc = self.clone();
        for entry in toc.entries_mut().iter_mut().filter(|entry| entry.owes_data) {
            // A block is never at 0, and the parser refuses an offset that says so.
            let known = offset(entry.dump_id).filter(|offset| *offset != 0);
            entry.data_offset = known.map_or(DataOffset::Unknown, DataOffset::At);
        }
        toc
    }
}
