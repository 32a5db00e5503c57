//! The version of the archive format, which is not the version of PostgreSQL.

use std::fmt;

/// The three version bytes after the magic `PGDMP`.
///
/// pg_dump 9.0 to 10.2 write 1.12, 10.3 to 11 write 1.13, 12 to 15 write 1.14, 16 writes 1.15,
/// 17 and 18 write 1.16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveVersion {
    /// Always 1 so far.
    pub major: u8,
    /// Grows with each change of the layout.
    pub minor: u8,
    /// Always 0 so far; a reader takes any.
    pub revision: u8,
}

impl ArchiveVersion {
    /// The oldest version that this crate reads.
    pub const OLDEST: Self = Self {
        major: 1,
        minor: 12,
        revision: 0,
    };
    /// The newest version that this crate reads; any revision of it, as pg_restore does.
    pub const NEWEST: Self = Self {
        major: 1,
        minor: 16,
        revision: u8::MAX,
    };

    /// The first version that names the compression algorithm.
    pub(crate) const FIRST_WITH_ALGORITHM: Self = Self {
        major: 1,
        minor: 15,
        revision: 0,
    };

    /// Whether this crate can read archives of this version.
    #[must_use]
    pub fn is_supported(self) -> bool {
        (Self::OLDEST..=Self::NEWEST).contains(&self)
    }

    /// 1.14 added each table's access method.
    pub(crate) fn has_access_method(self) -> bool {
        self.minor >= 14
    }

    /// 1.15 replaced the compression level by a byte that names the algorithm.
    pub(crate) fn has_compression_algorithm(self) -> bool {
        self.minor >= 15
    }

    /// 1.16 added the kind of the relation.
    pub(crate) fn has_relkind(self) -> bool {
        self.minor >= 16
    }
}

/// `1.16`, and the revision only where it is not 0, as `pg_restore -l` prints it.
impl fmt::Display for ArchiveVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.revision != 0 {
            write!(f, "-{}", self.revision)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u8, minor: u8, revision: u8) -> ArchiveVersion {
        ArchiveVersion {
            major,
            minor,
            revision,
        }
    }

    #[test]
    fn versions_1_12_to_1_16_of_any_revision_are_supported() {
        for minor in 12..=16 {
            assert!(version(1, minor, 0).is_supported());
            assert!(version(1, minor, 255).is_supported());
        }
        for other in [
            (1, 11, 255),
            (1, 17, 0),
            (0, 14, 0),
            (2, 14, 0),
            (255, 255, 255),
        ] {
            assert!(
                !version(other.0, other.1, other.2).is_supported(),
                "{other:?}"
            );
        }
    }
}
