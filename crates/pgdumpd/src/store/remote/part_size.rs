//! How an upload is cut into parts, decided before its first byte.
//!
//! All parts but the last have one size (R2 wants them equal), large enough that twice the expected bytes fit into
//! the parts that the server takes. Memory is `(in_flight + 1) × size`: the parts under way and the one that is being
//! collected. As parts grow fewer are under way, so that the product stays within the configured memory for as long as
//! two parts do.

use crate::config::{LARGEST_PART, UploadLimits};

const MIB: u64 = 1 << 20;
/// How many times the expected bytes must fit: estimates are made before the dump.
const MARGIN: u64 = 2;
/// What is expected where nobody knows.
const UNKNOWN: u64 = 128 << 30;
/// More requests at once than this make no link faster.
const MOST_IN_FLIGHT: u64 = 8;

/// One upload's cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Parts {
    /// Bytes of every part but the last.
    pub(in crate::store) size: u64,
    /// Parts under way at once, at least one.
    pub(in crate::store) in_flight: usize,
    /// The most parts that the server takes.
    pub(in crate::store) most: u32,
}

impl Parts {
    pub(in crate::store) fn for_upload(limits: &UploadLimits, expected_bytes: Option<u64>) -> Self {
        let expected = expected_bytes.unwrap_or(UNKNOWN);
        let most = limits.max_parts.max(1);
        let wanted = expected.saturating_mul(MARGIN).div_ceil(u64::from(most));
        let size = wanted
            .max(limits.part_size)
            .max(1)
            .checked_next_multiple_of(MIB)
            .map_or(LARGEST_PART, |size| size.min(LARGEST_PART));
        let fit = (limits.memory / size).saturating_sub(1);
        let in_flight = fit.clamp(1, MOST_IN_FLIGHT);
        Self {
            size,
            in_flight: usize::try_from(in_flight).unwrap_or(1),
            most,
        }
    }

    /// What an upload can hold at most.
    pub(in crate::store) fn capacity(&self) -> u64 {
        self.size.saturating_mul(u64::from(self.most))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: UploadLimits = UploadLimits {
        max_parts: 10_000,
        part_size: 8 * MIB,
        memory: 64 * MIB,
    };

    proptest! {
        #[test]
        fn twice_what_is_expected_fits_and_no_part_is_out_of_bounds(
            expected in (1_000_000_u64..=5_000_000_000_000),
            max_parts in 1_000_u32..=10_000,
            part_size in 5 * MIB..=64 * MIB,
            memory in 0..=1_u64 << 32,
        ) {
            let limits = UploadLimits { max_parts, part_size, memory };
            let parts = Parts::for_upload(&limits, Some(expected));
            prop_assert!(parts.size >= part_size && parts.size <= LARGEST_PART);
            prop_assert_eq!(parts.size % MIB, 0);
            prop_assert!(
                parts.capacity() >= 2 * expected || parts.size == LARGEST_PART,
                "{:?} holds {}", parts, parts.capacity()
            );
            // With ten thousand parts nothing up to five terabytes comes near the largest part.
            if max_parts == 10_000 {
                prop_assert!(parts.size <= 1_001 * MIB);
            }
            let in_flight = parts.in_flight as u64;
            prop_assert!((1..=MOST_IN_FLIGHT).contains(&in_flight));
            prop_assert!((in_flight + 1) * parts.size <= memory.max(2 * parts.size));
        }

        #[test]
        fn a_larger_upload_never_has_smaller_parts(
            smaller in 0..=u64::MAX, larger in 0..=u64::MAX,
        ) {
            let (smaller, larger) = (smaller.min(larger), larger.max(smaller));
            let size = |expected| Parts::for_upload(&DEFAULTS, Some(expected)).size;
            prop_assert!(size(smaller) <= size(larger));
        }
    }

    #[test]
    fn the_sizes_of_the_document() {
        let of = |expected: u64| {
            let parts = Parts::for_upload(&DEFAULTS, Some(expected));
            let in_flight = parts.in_flight as u64;
            (
                parts.size / MIB,
                in_flight,
                (in_flight + 1) * parts.size / MIB,
            )
        };
        // Expected bytes: part size, parts in flight, memory, in MiB.
        assert_eq!(of(1_000_000), (8, 7, 64));
        assert_eq!(of(40_000_000_000), (8, 7, 64));
        assert_eq!(of(100_000_000_000), (20, 2, 60));
        assert_eq!(of(1_000_000_000_000), (191, 1, 382));
        assert_eq!(of(5_000_000_000_000), (954, 1, 1908));
        let unknown = Parts::for_upload(&DEFAULTS, None);
        assert_eq!((unknown.size / MIB, unknown.in_flight), (27, 1));
    }
}
