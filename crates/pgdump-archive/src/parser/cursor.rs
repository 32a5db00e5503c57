//! Reads single values from bytes that may not have arrived yet.

use crate::{ArchiveError, Bound};

/// Why a value could not be read.
pub(super) enum Stop {
    /// The buffered bytes end too early: read again when there are this many, and not before.
    Need(usize),
    /// No more bytes will help.
    Fail(ArchiveError),
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Fail(error)
    }
}

/// A place in the buffered bytes. Values are borrowed, so that nothing is allocated before all
/// values of a group are there.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the archive.
    base: u64,
    /// Where the value read last begins in `bytes`.
    value_at: usize,
    /// How many bytes may be read at most, and the limit that this comes from.
    room: (usize, usize),
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], base: u64) -> Self {
        Self {
            bytes,
            at: 0,
            base,
            value_at: 0,
            room: (usize::MAX, usize::MAX),
        }
    }

    /// Lets no more than `room` bytes be read: what is left of `limit`.
    pub(super) fn with_room(mut self, room: usize, limit: usize) -> Self {
        self.room = (room, limit);
        self
    }

    /// How many bytes were read.
    pub(super) fn used(&self) -> usize {
        self.at
    }

    /// The value read last is one that pg_dump does not write.
    pub(super) fn corrupt(&self, what: &'static str) -> Stop {
        Stop::Fail(ArchiveError::Corrupt {
            offset: self.offset(),
            what,
        })
    }

    /// The value read last goes over a limit.
    pub(super) fn too_large(&self, bound: Bound, limit: usize) -> Stop {
        let limit = limit as u64;
        Stop::Fail(ArchiveError::TooLarge {
            offset: self.offset(),
            bound,
            limit,
        })
    }

    /// Where the value read last begins in the archive.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.value_at as u64
    }

    /// Where the value read last ends in the archive.
    pub(super) fn end_offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        self.value_at = self.at;
        self.more(count)
    }

    /// The next `count` bytes, which belong to the value that has been begun.
    fn more(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        // Cannot saturate where a size has 64 bits: a length is below 2^31.
        let end = self.at.saturating_add(count);
        // Before it is known whether the bytes are there, so that the answer does not depend on it.
        if end > self.room.0 {
            return Err(self.too_large(Bound::Toc, self.room.1));
        }
        let taken = self.bytes.get(self.at..end).ok_or(Stop::Need(end))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    /// A sign byte and four bytes, the lowest first.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Stop> {
        self.value_at = self.at;
        let bytes = self.more(5)?;
        let magnitude = i64::from(u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]));
        let value = match bytes[0] {
            0 => magnitude,
            // pg_dump has one zero, and its most negative number comes out of C as its own negation.
            1 if magnitude != 0 => -magnitude,
            _ => return Err(self.corrupt("an integer's sign byte is neither 0 nor 1")),
        };
        i32::try_from(value).map_err(|_| self.corrupt("an integer has more than 32 bits"))
    }

    /// A length and its bytes; `None` is NULL.
    pub(super) fn string(&mut self, limit: usize) -> Result<Option<&'a [u8]>, Stop> {
        let length = match self.int()? {
            -1 => return Ok(None),
            length => usize::try_from(length)
                .map_err(|_| self.corrupt("a string's length is negative"))?,
        };
        if length > limit {
            return Err(self.too_large(Bound::String, limit));
        }
        let bytes = self.more(length)?;
        // C would see a shorter string than we do.
        if bytes.contains(&0) {
            return Err(self.corrupt("a string contains a NUL byte"));
        }
        Ok(Some(bytes))
    }

    /// A string that pg_dump never leaves NULL.
    pub(super) fn required(&mut self, limit: usize) -> Result<&'a [u8], Stop> {
        self.string(limit)?
            .ok_or_else(|| self.corrupt("a string is NULL that must not be"))
    }

    /// A number that pg_dump writes as a string of decimal digits.
    pub(super) fn decimal(&mut self) -> Result<u32, Stop> {
        let digits = self.required(Self::MAX_DIGITS)?;
        self.parse_decimal(digits)
    }

    /// The number in a string that was read last.
    pub(super) fn parse_decimal(&self, digits: &[u8]) -> Result<u32, Stop> {
        // `parse` would also take a plus sign.
        let all_digits = digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        number
            .filter(|_| all_digits)
            .ok_or_else(|| self.corrupt("a number is not a decimal number"))
    }

    /// More than any 32-bit number has, so that a longer string is refused by its length alone.
    pub(super) const MAX_DIGITS: usize = 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(bytes: [u8; 5]) -> Option<i32> {
        Cursor::new(&bytes, 0).int().ok()
    }

    #[test]
    fn integers_are_a_sign_and_four_little_endian_bytes() {
        assert_eq!(int([0, 1, 2, 0, 0]), Some(0x201));
        assert_eq!(int([1, 1, 0, 0, 0]), Some(-1));
        assert_eq!(int([0, 255, 255, 255, 127]), Some(i32::MAX));
        assert_eq!(int([1, 0, 0, 0, 128]), Some(i32::MIN));
        assert_eq!(int([0, 0, 0, 0, 128]), None, "2^31");
        assert_eq!(int([1, 1, 0, 0, 128]), None, "below -2^31");
        assert_eq!(int([2, 1, 0, 0, 0]), None, "no such sign");
        assert_eq!(int([1, 0, 0, 0, 0]), None, "minus zero");
    }

    #[test]
    fn decimals_are_digits_only() {
        let cursor = Cursor::new(&[], 0);
        let parse = |digits: &str| cursor.parse_decimal(digits.as_bytes()).ok();
        assert_eq!(parse("4294967295"), Some(u32::MAX));
        assert_eq!(parse("0"), Some(0));
        for bad in ["", "+1", "-1", " 1", "4294967296", "1x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_string_says_how_many_bytes_it_needs_and_allocates_none() {
        let bytes = [0, 5, 0, 0, 0, b'a'];
        let need = |count: usize| match Cursor::new(&bytes[..count], 0).string(100) {
            Err(Stop::Need(bytes)) => bytes,
            _ => 0,
        };
        assert_eq!((need(0), need(4), need(5), need(6)), (5, 5, 10, 10));
    }
}
