//! Brings rows that were deleted back into a table that is in use.

use std::sync::atomic::{AtomicU64, Ordering};

use pgdump_archive::Toc;
use serde::Serialize;

use super::plan::{Plan, TableLoad};
use super::{Options, Progress};
use crate::code::Code;
use crate::fault::Fault;
use crate::readback::Source;
use crate::server::{Loaded, Loader, MergedInto, Restored, Table};

/// Where the backup's rows are until those that are missing are known: in the session, and gone with it.
const BESIDE: &str = "pg_temp.pgdumpd_rows";

/// What came back into one table.
#[derive(Debug, Clone, Serialize)]
pub struct Merged {
    /// The table, as SQL writes it.
    pub table: String,
    /// Rows that were missing, and are there again.
    pub rows_added: u64,
    /// Rows that are still missing: a trigger or a rule of the table has kept them out.
    pub rows_missing: u64,
    /// Rows of the backup that the table was asked for, and had; `None` with a condition, which nobody counts.
    pub rows_there: Option<u64>,
    /// Why nothing was changed, if it was not.
    pub error: Option<String>,
}

/// The statements for one table.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    load: &'a TableLoad,
    before: String,
    copy: String,
    after: String,
    missing: String,
}

/// What is to be done with each table, the server having looked at all of them.
///
/// # Errors
/// `restore_refused` where a table is not there, or has no key by which a row is known again; `table_unknown`.
pub(super) async fn plan<'a>(
    plan: &'a Plan,
    rows: Option<&str>,
    restored: &mut Restored,
) -> Result<Vec<Merge<'a>>, Fault> {
    let mut merges = Vec::new();
    for load in &plan.tables {
        let Some((schema, name)) = names(&plan.toc, load) else {
            let what = format!("{} has a name that is not UTF-8", load.name);
            return Err(Fault::permanent(Code::RestoreRefused, what)
                .hint("Restore it into a database beside, and take the rows from there."));
        };
        match restored.merged_into(schema, name).await? {
            MergedInto::Nothing => {
                let what = format!("the database has no table {}", load.name);
                return Err(Fault::permanent(Code::RestoreRefused, what)
                    .hint("Without --merge it is restored with its definition."));
            }
            MergedInto::WithoutKey => {
                let what = format!(
                    "table {} has no primary key, and no unique index of columns that are never NULL",
                    load.name
                );
                return Err(Fault::permanent(Code::RestoreRefused, what).hint(
                    "So nobody can tell which of its rows are missing: restore it into a database beside, and take them from there.",
                ));
            }
            MergedInto::Keyed { table, key } => {
                merges.push(Merge::new(load, &table, &key, rows));
            }
        }
    }
    if let Some(entry) = plan.blocks.first() {
        let what = format!("{} is not stored as rows", entry.name);
        return Err(
            Fault::permanent(Code::RestoreRefused, what).hint("Restore it into a database beside.")
        );
    }
    Ok(merges)
}

impl<'a> Merge<'a> {
    fn new(load: &'a TableLoad, table: &str, key: &[String], rows: Option<&str>) -> Self {
        let columns = columns(&load.copy).unwrap_or_default();
        let same: Vec<String> = key
            .iter()
            .map(|column| format!("pgdumpd_t.{column} = pgdumpd_b.{column}"))
            .collect();
        let condition = rows.map_or_else(String::new, |rows| format!(" WHERE ({rows}\n)"));
        Self {
            load,
            before: format!(
                "CREATE TEMPORARY TABLE pgdumpd_rows ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
            ),
            copy: format!("COPY {BESIDE} ({columns}) FROM stdin"),
            after: format!(
                "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {BESIDE}{condition} ON CONFLICT ({}) DO NOTHING",
                key.join(", ")
            ),
            missing: format!(
                "SELECT pg_catalog.count(*) FROM (SELECT * FROM {BESIDE}{condition}) AS pgdumpd_b WHERE NOT EXISTS (SELECT FROM {table} AS pgdumpd_t WHERE {})",
                same.join(" AND ")
            ),
        }
    }
}

/// Merges one table after another, each in a transaction of its own.
///
/// # Errors
/// The storage's and the server's; what the server refuses is in the result.
pub(super) async fn merge_all(
    source: &Source<'_>,
    merges: &[Merge<'_>],
    plan: &Plan,
    options: &Options,
    progress: &Progress,
) -> Result<Vec<Merged>, Fault> {
    let mut loader = Loader::connect(&options.into, options.role.as_deref()).await?;
    if let Some(encoding) = plan.encoding() {
        let encoding = encoding.to_owned();
        loader.run("the archive's encoding", encoding).await?;
    }
    // The table's own triggers expect it.
    let own = "SET search_path TO DEFAULT".to_owned();
    loader.run("its own search path", own).await?;
    let mut merged = Vec::new();
    for merge in merges {
        let entry = &merge.load.entry;
        let table = Table {
            before: &merge.before,
            copy: &merge.copy,
            role: None,
            after: &merge.after,
            missing: &merge.missing,
            expected: entry.rows,
        };
        let sent = AtomicU64::new(0);
        let loaded = loader.load(&table, async |mut rows| {
            let read = source.rows(entry, async |piece| {
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                progress.add(piece.len() as u64);
                rows.send(piece).await
            });
            read.await
        });
        let mut still = 0;
        let (added, error) = match loaded.await? {
            Loaded::Whole { after, missing, .. } => {
                still = missing;
                (after, None)
            }
            Loaded::Damaged(what) => (0, Some(format!("its stored data {what}"))),
            Loaded::Refused(what) => (0, Some(what)),
        };
        let there = entry.rows.map(|rows| rows.saturating_sub(added + still));
        merged.push(Merged {
            table: merge.load.name.clone(),
            rows_added: added,
            rows_missing: still,
            rows_there: there.filter(|_| options.rows.is_none() && error.is_none()),
            error,
        });
    }
    Ok(merged)
}

/// Schema and name of a table.
fn names<'a>(toc: &'a Toc, load: &TableLoad) -> Option<(&'a str, &'a str)> {
    let entry = toc.get(load.entry.dump_id)?;
    Some((entry.schema.as_ref()?.as_str()?, entry.tag.as_str()?))
}

/// The columns of a COPY, as it lists them.
fn columns(copy: &str) -> Option<&str> {
    let mut is_quoted = false;
    let mut from = None;
    for (at, sign) in copy.char_indices() {
        match (sign, from) {
            ('"', _) => is_quoted = !is_quoted,
            ('(', None) if !is_quoted => from = Some(at + 1),
            (')', Some(from)) if !is_quoted => return copy.get(from..at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_whatever_they_are_called() {
        for (copy, expected) in [
            ("COPY public.t (id, name) FROM stdin", Some("id, name")),
            (
                r#"COPY "a(b"."c)" ("x)", "y""(") FROM stdin"#,
                Some(r#""x)", "y""(""#),
            ),
            ("COPY public.t  FROM stdin", None),
        ] {
            assert_eq!(columns(copy), expected, "{copy}");
        }
    }
}
