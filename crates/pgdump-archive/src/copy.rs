//! What the data of COPY must look like: whole rows, each of all columns, and the end that pg_dump writes.

use crate::TocEntry;

/// Why a block is not what COPY and pg_dump write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyDamage {
    /// `\.` and two empty lines, on lines of their own, do not end it.
    #[error("its data does not end as COPY data does")]
    NoEnd,
    /// There are more or fewer tabs than this many rows have between this many columns: a row is cut, or two run
    /// together.
    #[error(
        "its {rows} rows are not whole: {columns} columns need {expected} tabs, {found} are there"
    )]
    Columns {
        /// The rows, by the lines' ends.
        rows: u64,
        /// The columns of the COPY statement.
        columns: u64,
        /// The tabs that there should be.
        expected: u64,
        /// The tabs that there are.
        found: u64,
    },
}

/// The signs of COPY data that stand for its structure. Inside a value COPY writes both with a backslash and a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Ends of lines.
    pub(crate) newlines: u64,
    /// Between two columns.
    pub(crate) tabs: u64,
}

impl Signs {
    /// Those of some data.
    pub(crate) fn of(raw: &[u8]) -> Self {
        let count = |sign| memchr::memchr_iter(sign, raw).count() as u64;
        Self {
            newlines: count(b'\n'),
            tabs: count(b'\t'),
        }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.newlines += more.newlines;
        self.tabs += more.tabs;
    }
}

/// What is wrong with so many `rows` of an entry with so many `tabs`; `None` rows are data that does not end as COPY's.
pub(crate) fn check(owner: &TocEntry, rows: Option<u64>, tabs: u64) -> Result<(), CopyDamage> {
    if !owner.is_copy() {
        return Ok(());
    }
    let rows = rows.ok_or(CopyDamage::NoEnd)?;
    let Some(columns) = owner.copy_columns() else {
        return Ok(());
    };
    let expected = rows.saturating_mul(columns.saturating_sub(1));
    if tabs == expected {
        return Ok(());
    }
    Err(CopyDamage::Columns {
        rows,
        columns,
        expected,
        found: tabs,
    })
}

/// How many columns a COPY statement lists; `None` where it lists none, as that of a table without columns.
pub(crate) fn columns(statement: &[u8]) -> Option<u64> {
    let (mut in_quotes, mut columns) = (false, None);
    for byte in statement {
        match (byte, columns) {
            // A doubled quote ends and begins again.
            (b'"', _) => in_quotes = !in_quotes,
            (b'(', None) if !in_quotes => columns = Some(1),
            (b',', Some(found)) if !in_quotes => columns = Some(found + 1),
            (b')', Some(_)) if !in_quotes => return columns,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_whatever_they_are_called() {
        for (statement, expected) in [
            ("COPY public.t (id) FROM stdin;\n", Some(1)),
            ("COPY public.t (id, name, \"a,b\") FROM stdin;\n", Some(3)),
            (r#"COPY "a(b"."c""(,d" ("x)""", y) FROM stdin;"#, Some(2)),
            ("COPY public.t  FROM stdin;\n", None),
            ("COPY", None),
            ("", None),
            ("COPY t (a, b", None),
        ] {
            assert_eq!(columns(statement.as_bytes()), expected, "{statement}");
        }
    }
}
