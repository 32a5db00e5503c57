//! The encoding that pg_dump speaks, whatever the database and the role are set to.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use pgdump_archive::Text;

/// The client encoding of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The server converts names and rows to UTF-8, and patterns from it.
    Utf8,
    /// The database does not know its encoding: the server converts nothing, and names, rows and patterns are bytes.
    SqlAscii,
}

impl Encoding {
    /// For a database of this encoding, as the server names it.
    pub fn of_database(server_encoding: &str) -> Self {
        match server_encoding {
            "SQL_ASCII" => Self::SqlAscii,
            _ => Self::Utf8,
        }
    }

    /// PostgreSQL's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF8",
            Self::SqlAscii => "SQL_ASCII",
        }
    }

    /// The bytes of a pattern. Where names are bytes, it is written as they are shown: a byte that is not UTF-8 as
    /// `\xHH`, and between double quotes a backslash as two. Outside them a backslash belongs to the pattern's
    /// regular expression.
    pub fn pattern(self, pattern: &str) -> OsString {
        match self {
            Self::Utf8 => pattern.into(),
            Self::SqlAscii => OsString::from_vec(bytes_of(pattern)),
        }
    }
}

fn bytes_of(pattern: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is between double quotes alternates with what is not; a doubled quote is an empty part.
    for (number, part) in pattern.split('"').enumerate() {
        if number > 0 {
            bytes.push(b'"');
        }
        if number % 2 == 1 {
            bytes.extend_from_slice(Text::from_escaped(part).as_bytes());
            continue;
        }
        // Pairs of backslashes stay: with them the regular expression means one.
        for (number, part) in part.split(r"\\").enumerate() {
            if number > 0 {
                bytes.extend_from_slice(br"\\");
            }
            bytes.extend_from_slice(Text::from_escaped(part).as_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_names_are_bytes_a_pattern_is_written_as_they_are_shown() {
        for (pattern, bytes) in [
            (r"public.t\xE9l*", &b"public.t\xe9l*"[..]),
            (r#"public."t\xE9l""#, b"public.\"t\xe9l\""),
            (r#""a\\b""xE9"."\\xE9""#, br#""a\b""xE9"."\xE9""#),
            (r"a\\xE9", br"a\\xE9"),
            (r"a\d\.x", br"a\d\.x"),
            ("größe", "größe".as_bytes()),
        ] {
            assert_eq!(
                Encoding::SqlAscii.pattern(pattern).into_vec(),
                bytes,
                "{pattern}"
            );
        }
    }

    #[test]
    fn in_utf8_a_pattern_is_passed_as_it_is() {
        let pattern = r#"public."t\xE9l\\""#;
        assert_eq!(Encoding::Utf8.pattern(pattern), pattern);
    }
}
