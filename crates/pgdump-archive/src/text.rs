//! Text as the archive holds it.

use std::borrow::Cow;
use std::fmt;

/// Bytes in the dump's client encoding, which is mostly but not always UTF-8.
///
/// They are kept as they came, so that an archive can be written again without loss; [`Display`]
/// and [`Text::to_string_lossy`] show them to people. Never contains a NUL byte.
///
/// [`Display`]: fmt::Display
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Box<[u8]>);

impl Text {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes as the archive holds them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, with U+FFFD for whatever is not UTF-8.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_string_lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string_lossy(), f)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_keeps_its_bytes_and_can_still_be_shown() {
        let text = Text::new(b"caf\xe9");
        assert_eq!(text.as_bytes(), b"caf\xe9");
        assert_eq!(text.as_str(), None);
        assert_eq!(text.to_string(), "caf\u{fffd}");
        assert_eq!(format!("{:?}", Text::new(b"a\"b")), r#""a\"b""#);
    }
}
