//! `GET jobs/{id}/tables`: a backup's tables, with rows and sizes.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Reader;
use super::contents::{ContentsError, TableEntry, Tables};
use super::id::PathId;
use super::problem::Problem;
use super::service::Service;
use crate::config::Scope;

/// The most tables of one answer: the largest.
const MOST_TABLES: usize = 1000;

/// A backup's tables.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TablesAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The storage that says it; null if none does.
    #[schema(required)]
    storage: Option<String>,
    /// The largest 1,000, the largest first.
    tables: Vec<Table>,
    /// How many there are in all.
    total: usize,
    /// Why there are none: `not_stored`, `sealed`, `no_index` or `unreadable`.
    #[schema(required)]
    unknown: Option<UnknownTables>,
    /// Why it is unreadable; null without the scope `admin`.
    #[schema(required)]
    reason: Option<String>,
}

/// Why nobody can say what is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum UnknownTables {
    /// No storage has it.
    NotStored,
    /// Only an identity opens the manifest.
    Sealed,
    /// It was stored without being parsed.
    NoIndex,
    /// No storage of this daemon has it, or it cannot be read now.
    Unreadable,
}

/// A table's data, or all large objects.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Table {
    /// Schema and name, each quoted where SQL needs it.
    name: String,
    /// Rows; of large objects, how many there are.
    #[schema(required)]
    rows: Option<u64>,
    /// As `pg_dump` wrote it.
    raw_bytes: u64,
    /// As it is stored.
    stored_bytes: u64,
}

/// A backup's tables
///
/// As the manifest in a storage of this daemon says.
#[utoipa::path(
    get, path = "/jobs/{id}/tables", operation_id = "tables", tag = "operator",
    params(("id" = String, Path, description = "The backup's id")),
    responses((status = 200, description = "The tables", body = TablesAnswer)),
)]
pub(super) async fn tables(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    id: PathId,
) -> Result<impl IntoResponse, Problem> {
    let job = service.of_path(&identity, &id).await?;
    // A copy has the tables of its backup.
    let backup = job.copy_of.unwrap_or(job.id);
    let answer = match service.shared.contents.tables(backup).await {
        Ok(tables) => TablesAnswer::from(tables),
        Err(ContentsError::NotStored) => TablesAnswer::unknown(UnknownTables::NotStored),
        Err(ContentsError::Sealed) => TablesAnswer::unknown(UnknownTables::Sealed),
        Err(ContentsError::NoIndex) => TablesAnswer::unknown(UnknownTables::NoIndex),
        Err(ContentsError::Unreadable(why)) => TablesAnswer {
            // It may name folders and hosts.
            reason: Some(why).filter(|_| identity.has(Scope::Admin)),
            ..TablesAnswer::unknown(UnknownTables::Unreadable)
        },
    };
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

impl TablesAnswer {
    fn unknown(why: UnknownTables) -> Self {
        Self {
            success: true,
            storage: None,
            tables: Vec::new(),
            total: 0,
            unknown: Some(why),
            reason: None,
        }
    }
}

impl From<Tables> for TablesAnswer {
    fn from(mut tables: Tables) -> Self {
        let total = tables.entries.len();
        tables.entries.sort_by_key(|entry| Reverse(entry.raw_bytes));
        tables.entries.truncate(MOST_TABLES);
        Self {
            success: true,
            storage: Some(tables.storage),
            tables: tables.entries.into_iter().map(Table::from).collect(),
            total,
            unknown: None,
            reason: None,
        }
    }
}

impl From<TableEntry> for Table {
    fn from(entry: TableEntry) -> Self {
        Self {
            name: entry.name,
            rows: entry.rows,
            raw_bytes: entry.raw_bytes,
            stored_bytes: entry.stored_bytes,
        }
    }
}
