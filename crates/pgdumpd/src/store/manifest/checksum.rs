//! The checksum that a manifest carries of its own text, so that no byte of it changes unnoticed.
//!
//! A manifest's last two lines are `  "checksum": "…"` and `}`. The checksum is the SHA-256 of every byte before them:
//! `head -n -2 FILE | sha256sum`. It is of the text as it is stored, not of what a parser makes of it: two parsers may
//! differ about numbers, escapes and names that come twice, and text needs no second copy in memory.

use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// What the last line but one begins with.
const FIELD: &str = "  \"checksum\": \"";
/// What follows the digits.
const END: &str = "\"\n}\n";
/// Of a SHA-256.
const DIGITS: usize = 64;

/// What a text says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Checked {
    /// It carries no checksum.
    Absent,
    /// It is what was written.
    Right,
    /// It is not what was written.
    Wrong,
}

/// Adds the checksum to a JSON object that has at least one field, each on a line of its own.
pub(in crate::store) fn add(mut object: Vec<u8>) -> Vec<u8> {
    if object.ends_with(b"\n}") {
        object.truncate(object.len() - 2);
    }
    object.extend_from_slice(b",\n");
    let digits = hex(&Sha256::digest(&object));
    for part in [FIELD, &digits, END] {
        object.extend_from_slice(part.as_bytes());
    }
    object
}

/// Compares a text with the checksum that it carries.
pub(in crate::store) fn check(text: &[u8]) -> Checked {
    match split(text) {
        None => Checked::Absent,
        Some((covered, digits)) if hex(&Sha256::digest(covered)).as_bytes() == digits => {
            Checked::Right
        }
        Some(_) => Checked::Wrong,
    }
}

/// What the checksum covers, and its digits.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_suffix(END.as_bytes())?;
    let (text, digits) = text.split_at_checked(text.len().checked_sub(DIGITS)?)?;
    Some((text.strip_suffix(FIELD.as_bytes())?, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_right_until_any_bit_of_it_changes() {
        let text = add(b"{\n  \"format\": 2,\n  \"name\": \"\x7f\"\n}".to_vec());
        assert_eq!(check(&text), Checked::Right);
        let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(parsed["checksum"].as_str().unwrap().len(), DIGITS);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert_ne!(check(&changed), Checked::Right, "bit {bit} of byte {at}");
            }
        }
        for cut in 0..text.len() {
            assert_ne!(check(&text[..cut]), Checked::Right, "cut after {cut} bytes");
        }
    }

    #[test]
    fn a_text_without_a_checksum_is_not_called_wrong() {
        for text in ["", "{}", "{\n  \"format\": 1\n}\n", "\"\n}\n"] {
            assert_eq!(check(text.as_bytes()), Checked::Absent, "{text}");
        }
    }
}
