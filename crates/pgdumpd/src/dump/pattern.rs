//! What a pattern of pg_dump means: the regular expressions that it makes of one, as psql does.

use std::os::unix::ffi::OsStrExt as _;

use super::encoding::Encoding;

/// A pattern, split at its dots and ready for the server to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// For the schema's name; none of a pattern without one, which means what the role's search path shows.
    pub schema: Option<Vec<u8>>,
    /// For the name itself.
    pub name: Vec<u8>,
}

/// Why pg_dump refuses a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More names than there can be.
    #[error("it has more dots than a name can have")]
    Dots,
    /// A third name, which is not the database's.
    #[error("it names another database")]
    Database,
}

impl Pattern {
    /// A pattern of tables: `NAME`, `SCHEMA.NAME` or `DATABASE.SCHEMA.NAME`.
    ///
    /// # Errors
    /// As pg_dump refuses it.
    pub fn of_tables(
        pattern: &str,
        encoding: Encoding,
        database: &str,
    ) -> Result<Self, PatternError> {
        let mut parts = split(encoding.pattern(pattern).as_bytes());
        let (Some(name), schema, above) = (parts.pop(), parts.pop(), parts.pop()) else {
            return Err(PatternError::Dots);
        };
        if !parts.is_empty() {
            return Err(PatternError::Dots);
        }
        if above.is_some_and(|above| above.literal != database.as_bytes()) {
            return Err(PatternError::Database);
        }
        Ok(Self {
            schema: schema.map(Part::expression),
            name: name.expression(),
        })
    }

    /// A pattern of schemas, which has one name.
    ///
    /// # Errors
    /// As pg_dump refuses it.
    pub fn of_schemas(pattern: &str, encoding: Encoding) -> Result<Self, PatternError> {
        let mut parts = split(encoding.pattern(pattern).as_bytes());
        match (parts.pop(), parts.is_empty()) {
            (Some(name), true) => Ok(Self {
                schema: None,
                name: name.expression(),
            }),
            _ => Err(PatternError::Dots),
        }
    }
}

/// What is between two dots.
#[derive(Default)]
struct Part {
    regular: Vec<u8>,
    /// The same where it is not taken for an expression.
    literal: Vec<u8>,
}

impl Part {
    fn expression(self) -> Vec<u8> {
        [b"^(", &self.regular[..], b")$"].concat()
    }
}

/// Never empty: a pattern without a dot is one part.
fn split(pattern: &[u8]) -> Vec<Part> {
    let mut parts = vec![Part::default()];
    let mut in_quotes = false;
    let mut rest = pattern;
    while let [byte, after @ ..] = rest {
        rest = after;
        let byte = *byte;
        // A new part is pushed before anything is taken away.
        let Some(part) = parts.last_mut() else { break };
        match byte {
            b'"' if in_quotes && after.first() == Some(&b'"') => {
                rest = &after[1..];
                part.regular.push(b'"');
            }
            b'"' => {
                in_quotes = !in_quotes;
                continue;
            }
            b'.' if !in_quotes => {
                parts.push(Part::default());
                continue;
            }
            b'*' if !in_quotes => part.regular.extend_from_slice(b".*"),
            b'?' if !in_quotes => part.regular.push(b'.'),
            b'$' => part.regular.extend_from_slice(br"\$"),
            b'|' | b'*' | b'+' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'.' | b'^'
            | b'\\'
                if in_quotes =>
            {
                part.regular.extend_from_slice(&[b'\\', byte]);
            }
            // More likely an array's type than an expression.
            b'[' if after.first() == Some(&b']') => part.regular.extend_from_slice(br"\["),
            byte if in_quotes => part.regular.push(byte),
            byte => part.regular.push(byte.to_ascii_lowercase()),
        }
        part.literal.push(if in_quotes {
            byte
        } else {
            byte.to_ascii_lowercase()
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(pattern: &str) -> Result<(Option<String>, String), PatternError> {
        let pattern = Pattern::of_tables(pattern, Encoding::Utf8, "Shop")?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok((pattern.schema.map(text), text(pattern.name)))
    }

    #[test]
    fn a_pattern_is_split_folded_and_quoted_as_psql_does_it() {
        for (pattern, schema, name) in [
            ("Orders", None, "^(orders)$"),
            ("\"Orders\"", None, "^(Orders)$"),
            ("Public.ord*_?", Some("^(public)$"), "^(ord.*_.)$"),
            ("\"a.b\".\"c*\"\"\"", Some(r"^(a\.b)$"), r#"^(c\*")$"#),
            ("a|B(c)", None, "^(a|b(c))$"),
            ("a$b.\"c$\"", Some(r"^(a\$b)$"), r"^(c\$)$"),
            ("x[].y[0-9]", Some(r"^(x\[])$"), "^(y[0-9])$"),
            ("\"Shop\".public.orders", Some("^(public)$"), "^(orders)$"),
            ("Größe", None, "^(größe)$"),
        ] {
            let schema = schema.map(str::to_owned);
            assert_eq!(tables(pattern), Ok((schema, name.to_owned())), "{pattern}");
        }
    }

    #[test]
    fn what_pg_dump_refuses_is_refused() {
        assert_eq!(tables("a.b.c.d"), Err(PatternError::Dots));
        assert_eq!(tables("shop.public.orders"), Err(PatternError::Database));
        assert_eq!(
            Pattern::of_schemas("a.b", Encoding::Utf8),
            Err(PatternError::Dots)
        );
    }
}
