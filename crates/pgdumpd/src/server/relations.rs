//! Which tables there are: what they are called, and which file holds the rows of each. Compared from moment to
//! moment these show a table that was replaced beside a dump.
//!
//! No statement here waits for a table's lock for longer than the watcher's `lock_timeout`.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};

use crate::code::Code;
use crate::fault::Fault;

use super::Target;

/// The file that holds a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFile {
    /// `pg_class.relfilenode`: another number is another file.
    pub node: u32,
    /// `pg_class.reltablespace`.
    pub tablespace: u32,
    /// Whether the file was seen to have no byte. False where that is not known.
    pub is_empty: bool,
}

/// A table as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTable {
    /// Its oid.
    pub oid: u32,
    /// `pg_class.relfilenode`.
    pub file_node: u32,
    /// `pg_class.reltablespace`.
    pub tablespace: u32,
    /// The oid of its schema.
    pub schema_oid: u32,
    /// Its schema, in UTF-8; of a database without an encoding the bytes as they are.
    pub schema: Vec<u8>,
    /// Its name, in the same form.
    pub name: Vec<u8>,
    /// Whether nobody has counted the rows of its file: neither VACUUM nor ANALYZE nor CLUSTER.
    pub is_uncounted: bool,
    /// Whether the dump's session was there, with its locks, when the table was read.
    pub is_locked: bool,
    /// Whether its catalog row last changed before the dump's snapshot was taken. False where that is not known.
    pub is_older_than_dump: bool,
}

/// The number of an oid, as the statements give it.
pub(super) fn oid(row: &PgRow, column: &str) -> sqlx::Result<u32> {
    let number: i64 = row.try_get(column)?;
    u32::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

struct FileRow(u32, TableFile);

impl FromRow<'_, PgRow> for FileRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let file = TableFile {
            node: oid(row, "file_node")?,
            tablespace: oid(row, "tablespace")?,
            is_empty: row.try_get("empty")?,
        };
        Ok(Self(oid(row, "oid")?, file))
    }
}

impl FromRow<'_, PgRow> for NamedTable {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            oid: oid(row, "oid")?,
            file_node: oid(row, "file_node")?,
            tablespace: oid(row, "tablespace")?,
            schema_oid: oid(row, "schema_oid")?,
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            is_uncounted: row.try_get("uncounted")?,
            is_locked: row.try_get("locked")?,
            is_older_than_dump: row.try_get("older_than_dump")?,
        })
    }
}

struct SchemaRow(u32, Vec<u8>);

impl FromRow<'_, PgRow> for SchemaRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(oid(row, "oid")?, row.try_get("name")?))
    }
}

impl Target {
    /// The file of each table, by the table's oid. In memory 16 bytes a table, and the hash table's own.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn table_files(&self) -> Result<HashMap<u32, TableFile>, Fault> {
        let ask = async |measures: bool| {
            let mut files = HashMap::new();
            let take = |FileRow(oid, file)| {
                files.insert(oid, file);
            };
            let sql = include_str!("sql/table_files.sql");
            let query = sqlx::query_as(sql).bind(measures);
            self.connections
                .each("the tables' files", query, take)
                .await?;
            Ok::<_, Fault>(files)
        };
        match ask(true).await {
            // Somebody asked for a table's lock in this very moment.
            Err(fault) if fault.code() == Code::LockNotAvailable => ask(false).await,
            files => files,
        }
    }

    /// Shows `take` each table and materialized view that there is, while the dump with this application name has its
    /// locks.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn each_table(
        &self,
        application_name: &str,
        take: impl FnMut(NamedTable) + Send,
    ) -> Result<(), Fault> {
        let sql = include_str!("sql/tables_by_name.sql");
        let query = sqlx::query_as(sql).bind(application_name);
        self.connections
            .each("the tables' names", query, take)
            .await
    }

    /// What each schema is called, by its oid.
    ///
    /// # Errors
    /// As [`Target::look`].
    pub async fn schema_names(&self) -> Result<HashMap<u32, Vec<u8>>, Fault> {
        let mut names = HashMap::new();
        let take = |SchemaRow(oid, name)| {
            names.insert(oid, name);
        };
        let query = sqlx::query_as(include_str!("sql/schema_names.sql"));
        self.connections
            .each("the schemas' names", query, take)
            .await?;
        Ok(names)
    }

    /// Whether the table with this oid has no byte at this moment. False where that is not known: it is gone, or
    /// somebody holds its lock.
    pub async fn is_empty_table(&self, oid: u32) -> bool {
        let sql = include_str!("sql/table_is_empty.sql");
        let mut is_empty = false;
        let take = |(empty,): (Option<bool>,)| is_empty = empty == Some(true);
        let query = sqlx::query_as(sql).bind(i64::from(oid));
        let asked = self.connections.each("a table's size", query, take).await;
        if let Err(fault) = asked {
            tracing::debug!(table.oid = oid, "{}", fault.report());
            return false;
        }
        is_empty
    }
}
