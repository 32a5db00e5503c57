//! Checksums of raw data and of stored bytes.

use std::fmt;
use std::str::FromStr;

use twox_hash::XxHash3_128;

/// An XXH3-128 checksum: finds accidents, but no intent. Shown as 32 hexadecimal digits, the
/// highest first, as `xxhsum -H2` prints it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(u128);

impl Checksum {
    /// The checksum of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(bytes))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u128 {
        self.0
    }
}

/// A checksum of bytes that come in pieces.
#[derive(Default)]
pub struct Checksummer(XxHash3_128);

impl Checksummer {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum of what was added; the next one begins.
    pub fn take(&mut self) -> Checksum {
        Checksum(std::mem::take(&mut self.0).finish_128())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is not 32 hexadecimal digits")]
pub struct InvalidChecksum;

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(digits) {
            return Err(InvalidChecksum);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidChecksum)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Checksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Checksum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_xxh3_of_128_bits_in_hexadecimal() {
        // The specification's own value for no input.
        let empty = "99aa06d3014798d86001c324468d497f";
        assert_eq!(Checksum::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Checksum::of(b"")));
        let mut pieces = Checksummer::default();
        pieces.add(b"ab");
        pieces.add(b"c");
        assert_eq!(pieces.take(), Checksum::of(b"abc"));
        assert_eq!(pieces.take(), Checksum::of(b""));
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        let upper = "99AA06D3014798D86001C324468D497F";
        let signed = "+9aa06d3014798d86001c324468d497f";
        for bad in ["", "99aa", upper, signed, &"0".repeat(33), &"é".repeat(16)] {
            assert_eq!(bad.parse::<Checksum>(), Err(InvalidChecksum), "{bad}");
        }
    }
}
