//! How much a dump will store, before it begins: a storage without room for it is refused before production's tables
//! are locked, and an upload to an object store gets parts that are large enough.

use crate::compression::Compression;
use crate::queue::StoredSize;

/// Of what is on the target's disk an archive is hardly less, but for odd cases.
const LEAST_SHARE: f64 = 0.25;
/// Of the last backup's size the next one is hardly less, also where it is compressed better.
const LEAST_OF_LAST: f64 = 0.75;
/// If the last archive took a larger share of its dump than this, it may have been compressed badly, or not at all.
const COMPRESSED: f64 = 0.9;
/// By which factor a dump without compression may exceed its size on the target's disk: large values are stored there
/// compressed, and COPY writes bytes as hexadecimal digits.
const MOST_UNCOMPRESSED: u64 = 2;

/// About how many bytes a dump will store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// Hardly less: without room for that much the dump does not begin.
    pub(super) least: u64,
    /// Hardly more; `None` if unknown.
    pub(super) most: Option<u64>,
}

impl Expected {
    /// From what is to be dumped takes on the target's disk, and the last backup of the same target and filters, each
    /// as far as it is known.
    pub(super) fn new(
        on_disk: Option<u64>,
        last: Option<StoredSize>,
        compression: Compression,
    ) -> Self {
        let of_last = last.and_then(|last| least_of_last(last, compression));
        let least = match (of_last, on_disk) {
            // Rows may have been deleted since.
            (Some(of_last), Some(on_disk)) => of_last.min(on_disk),
            (Some(of_last), None) => of_last,
            (None, Some(on_disk)) => share(on_disk, LEAST_SHARE),
            (None, None) => 0,
        };
        let times = if compression == Compression::None {
            MOST_UNCOMPRESSED
        } else {
            1
        };
        let by_disk = on_disk.map(|on_disk| on_disk.saturating_mul(times));
        let most = by_disk.max(last.map(|last| last.stored));
        Self { least, most }
    }
}

fn least_of_last(last: StoredSize, compression: Compression) -> Option<u64> {
    let size = match (compression, last.dumped) {
        (Compression::None, dumped) => dumped?,
        (_, Some(dumped)) if last.stored < share(dumped, COMPRESSED) => last.stored,
        _ => return None,
    };
    Some(share(size, LEAST_OF_LAST))
}

fn share(bytes: u64, of: f64) -> u64 {
    (bytes as f64 * of) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(
        on_disk: Option<u64>,
        last: Option<(u64, u64)>,
        compression: &str,
    ) -> (u64, Option<u64>) {
        let last = last.map(|(stored, dumped)| StoredSize {
            stored,
            dumped: Some(dumped),
        });
        let Expected { least, most } = Expected::new(on_disk, last, compression.parse().unwrap());
        (least, most)
    }

    #[test]
    fn what_lies_on_disk_and_the_last_backup_tell_how_much_will_be_stored() {
        // Nothing but the disk is known.
        assert_eq!(expected(Some(1000), None, "gzip:6"), (250, Some(1000)));
        assert_eq!(expected(Some(1000), None, "none"), (250, Some(2000)));
        // It compresses by more than four, or by less.
        assert_eq!(
            expected(Some(1000), Some((100, 900)), "gzip:6"),
            (75, Some(1000))
        );
        assert_eq!(
            expected(Some(1000), Some((800, 1600)), "gzip:6"),
            (600, Some(1000))
        );
        // It is larger than on disk.
        assert_eq!(
            expected(Some(1000), Some((4000, 4000)), "none"),
            (1000, Some(4000))
        );
        // Compression was switched on, or off, since the last one.
        assert_eq!(
            expected(Some(1000), Some((900, 900)), "zstd:3"),
            (250, Some(1000))
        );
        assert_eq!(
            expected(Some(1000), Some((100, 800)), "none"),
            (600, Some(2000))
        );
        // Most rows were deleted since.
        assert_eq!(
            expected(Some(10), Some((800, 1600)), "gzip:6"),
            (10, Some(800))
        );
        assert_eq!(
            expected(None, Some((800, 1600)), "gzip:6"),
            (600, Some(800))
        );
        assert_eq!(expected(None, None, "gzip:6"), (0, None));
    }

    #[test]
    fn a_last_backup_whose_text_nobody_counted_gives_its_size_alone() {
        let last = Some(StoredSize {
            stored: 5000,
            dumped: None,
        });
        let Expected { least, most } = Expected::new(Some(1000), last, Compression::None);
        assert_eq!((least, most), (250, Some(5000)));
    }
}
