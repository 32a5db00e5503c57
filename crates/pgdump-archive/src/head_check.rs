//! Checks header and table of contents by themselves.

use std::sync::Arc;

use crate::checksum::Checksummer;
use crate::{ArchiveError, Checksum, Header, Index, Limits, Parser, Toc};

/// What is wrong with the head of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadDamage {
    /// It is not a header and a table of contents.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The table of contents does not end where the index says.
    #[error("the table of contents ends after {found} bytes, not after {expected}")]
    Length {
        /// By the index.
        expected: u64,
        /// In the archive.
        found: u64,
    },
    /// It can be read, but it is not what was indexed.
    #[error("is not what the index says")]
    Differs,
    /// It ends before the table of contents does.
    #[error("is cut off")]
    Truncated,
}

/// Says whether header and table of contents are intact, from their bytes and an index.
///
/// However long the index says that they are, memory follows what arrives, up to
/// [`Limits::max_toc_bytes`].
pub struct HeadCheck {
    parser: Parser,
    checksum: Checksummer,
    expected: Checksum,
    length: u64,
}

impl HeadCheck {
    /// A check of the head that this index is of. Any values in the index are safe.
    #[must_use]
    pub fn new(index: &Index) -> Self {
        Self {
            parser: Parser::with_limits(Limits::default()),
            checksum: Checksummer::default(),
            expected: index.head_xxh3_128,
            length: index.head_bytes,
        }
    }

    /// Checks the next bytes of the head.
    ///
    /// # Errors
    ///
    /// What is wrong, as soon as it is seen.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), HeadDamage> {
        self.checksum.add(bytes);
        while !bytes.is_empty() {
            if self.parser.toc().is_some() {
                return Err(self.ends_elsewhere());
            }
            let used = self.parser.push_some(bytes, &mut |_| {})?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// The end of the head's bytes.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn finish(mut self) -> Result<(Header, Arc<Toc>), HeadDamage> {
        let (Some(header), Some(toc)) = (self.parser.header(), self.parser.toc()) else {
            return Err(HeadDamage::Truncated);
        };
        let (header, toc) = (header.clone(), Arc::clone(toc));
        if self.parser.position() != self.length {
            return Err(self.ends_elsewhere());
        }
        if self.checksum.take() != self.expected {
            return Err(HeadDamage::Differs);
        }
        Ok((header, toc))
    }

    fn ends_elsewhere(&self) -> HeadDamage {
        HeadDamage::Length {
            expected: self.length,
            found: self.parser.position(),
        }
    }
}
