//! Text as the archive holds it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Bytes in the dump's client encoding, which is mostly but not always UTF-8.
///
/// They are kept as they came, so that an archive can be written again without loss. Never contains
/// a NUL byte.
///
/// [`Display`] writes them in a form that can be read back ([`Text::from_escaped`]), so that two
/// names never look alike. UTF-8 is written as it is. Where bytes are not UTF-8, each of them is
/// written as `\xHH` with upper-case digits, and each backslash is doubled. Backslashes of UTF-8
/// are doubled only where they would otherwise be read as one of these two.
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

    /// The text as [`Display`](fmt::Display) writes it.
    #[must_use]
    pub fn escaped(&self) -> Cow<'_, str> {
        escape(&self.0)
    }

    /// What [`Display`](fmt::Display) would write of a text of these bytes.
    #[must_use]
    pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
        escape(bytes)
    }

    /// The text that is written so.
    #[must_use]
    pub fn from_escaped(escaped: &str) -> Self {
        Self(unescape(escaped.as_bytes()).into())
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.escaped())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.escaped(), f)
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

/// A form of the bytes that is text, and from which [`unescape`] makes the same bytes.
pub(crate) fn escape(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if unescape(bytes) == bytes => text.into(),
        _ => {
            let mut escaped = String::with_capacity(bytes.len() + 3);
            for chunk in bytes.utf8_chunks() {
                escaped.push_str(&chunk.valid().replace('\\', "\\\\"));
                for byte in chunk.invalid() {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "\\x{byte:02X}");
                }
            }
            escaped.into()
        }
    }
}

/// The bytes that were escaped. A backslash that [`escape`] does not write stays one.
fn unescape(mut escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    while let [first, rest @ ..] = escaped {
        let (byte, left) = match escaped {
            [b'\\', b'\\', left @ ..] => (b'\\', left),
            [b'\\', b'x', high, low, left @ ..] => match hexadecimal(*high, *low) {
                Some(byte) => (byte, left),
                None => (*first, rest),
            },
            _ => (*first, rest),
        };
        bytes.push(byte);
        escaped = left;
    }
    bytes
}

/// What two upper-case digits stand for; a byte below 0x80 is UTF-8 and never written so.
fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let byte = digit(high)? << 4 | digit(low)?;
    (byte >= 0x80).then_some(byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\\'), Just(b'x'), Just(b'E'), Just(b'9'), 1_u8..], 0..12,
            )
        ) {
            let text = Text::new(&bytes);
            prop_assert_eq!(Text::from_escaped(&text.to_string()), text);
        }
    }

    #[test]
    fn names_that_differ_in_bytes_that_are_not_utf8_look_different() {
        for (bytes, shown) in [
            (&b"t\xe9l"[..], r"t\xE9l"),
            (b"t\xe8l", r"t\xE8l"),
            // The same characters, each of them one.
            (br"t\xE9l", r"t\\xE9l"),
            (br"t\xe9l", r"t\xe9l"),
            (br"t\x41l", r"t\x41l"),
            (br"C:\temp", r"C:\temp"),
            (br"C:\\temp", r"C:\\\\temp"),
            (b"a\\\xff", r"a\\\xFF"),
            ("größe".as_bytes(), "größe"),
        ] {
            assert_eq!(Text::new(bytes).to_string(), shown);
            assert_eq!(Text::from_escaped(shown).as_bytes(), bytes);
        }
    }

    #[test]
    fn text_that_is_not_utf8_keeps_its_bytes_and_can_still_be_shown() {
        let text = Text::new(b"caf\xe9");
        assert_eq!(text.as_bytes(), b"caf\xe9");
        assert_eq!(text.as_str(), None);
        assert_eq!(text.to_string(), r"caf\xE9");
        assert_eq!(format!("{:?}", Text::new(b"a\"b")), r#""a\"b""#);
    }
}
