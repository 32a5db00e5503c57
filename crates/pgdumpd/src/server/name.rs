//! Names that a database gives as bytes: where it does not know its encoding, they need not be UTF-8.

use pgdump_archive::Text;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// The name in this column, in the form in which it is shown everywhere.
pub(super) fn name(row: &PgRow, column: &str) -> sqlx::Result<String> {
    Ok(shown(row.try_get(column)?))
}

/// The same where there may be none.
pub(super) fn optional_name(row: &PgRow, column: &str) -> sqlx::Result<Option<String>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.map(shown))
}

/// The same of a list.
pub(super) fn names(row: &PgRow, column: &str) -> sqlx::Result<Vec<String>> {
    let bytes: Vec<Vec<u8>> = row.try_get(column)?;
    Ok(bytes.iter().map(|bytes| shown(bytes)).collect())
}

fn shown(bytes: &[u8]) -> String {
    Text::escape(bytes).into_owned()
}
