//! How large a database and its tables are.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use crate::code::Code;
use crate::fault::Fault;

use super::Target;
use super::name::name;

/// The sizes of what a dump may take from a database, in bytes of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of each table that has rows of its own, by oid.
    pub tables: Vec<TableSize>,
    /// Of all large objects.
    pub large_objects: i64,
}

/// The size of one table. A job's filters are not applied: the archive's table of contents shows what is dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its oid.
    pub oid: i64,
    /// Of its files, with TOAST and without indexes.
    pub bytes: i64,
    /// What the planner believes, for a table that was never analysed what the server counted as it wrote; `None` if
    /// there is neither.
    pub estimated_rows: Option<i64>,
}

impl FromRow<'_, PgRow> for TableSize {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            schema: name(row, "schema")?,
            name: name(row, "name")?,
            oid: row.try_get("oid")?,
            bytes: row.try_get("bytes")?,
            estimated_rows: row.try_get("estimated_rows")?,
        })
    }
}

impl Target {
    /// Measures the whole database, indexes and bloat included, in bytes.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn database_size(&self) -> Result<i64, Fault> {
        let what = "the size of the database";
        let (size,): (i64,) = self
            .connections
            .one(what, include_str!("sql/database_size.sql"))
            .await?;
        Ok(size)
    }

    /// Measures the tables and the large objects.
    ///
    /// Measuring a table needs a lock on it. Where one is not to be had, all tables are estimated from the
    /// catalog instead, so that measuring never waits behind a table's change.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn size(&self) -> Result<Sizes, Fault> {
        let (large_objects,): (i64,) = self
            .connections
            .one(
                "the size of the large objects",
                include_str!("sql/large_objects_size.sql"),
            )
            .await?;
        let what = "the sizes of the tables";
        let measured = self
            .connections
            .all(what, include_str!("sql/table_sizes.sql"))
            .await;
        let tables = match measured {
            Err(fault) if matches!(fault.code(), Code::LockNotAvailable | Code::TargetSlow) => {
                tracing::debug!(
                    target = self.name,
                    error = fault.report(),
                    "tables are estimated"
                );
                let estimated = include_str!("sql/table_sizes_estimated.sql");
                self.connections.all(what, estimated).await?
            }
            measured => measured?,
        };
        Ok(Sizes {
            tables,
            large_objects,
        })
    }
}
