//! Takes the place of the crate of the same name, with which sqlx prepares a password for SCRAM.
//!
//! SASLprep forbids control characters and every character that Unicode got after version 3.2: emoji, or `₽`. PostgreSQL's
//! server and libpq take a password with one of them as it is; sqlx refuses to connect. So it gets this crate instead
//! (`[patch.crates-io]` in the workspace's Cargo.toml).

use std::borrow::Cow;
use std::convert::Infallible;

/// The text as SASLprep prepares it, or as it is where SASLprep forbids it.
///
/// # Errors
/// None: the original's callers expect a result.
pub fn saslprep(text: &str) -> Result<Cow<'_, str>, Infallible> {
    Ok(original::saslprep(text).unwrap_or(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_prepared_is_and_what_is_forbidden_stays() {
        for (text, prepared) in [
            ("plain", "plain"),
            // A soft hyphen goes, a Roman numeral becomes letters, a wide space a space.
            ("I\u{ad}X", "IX"),
            ("\u{2168}", "IX"),
            ("a\u{3000}b", "a b"),
            ("100\u{20bd}", "100\u{20bd}"),
            ("bell\u{7}", "bell\u{7}"),
            ("\u{1f511}\u{2168}", "\u{1f511}\u{2168}"),
        ] {
            assert_eq!(saslprep(text).as_deref(), Ok(prepared));
        }
    }
}
