//! The migrations of this build, and the table that says which were applied.

use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _};

use super::MigrateError;

/// Held while a migration or a grant runs. The number is the first eight bytes of SHA-256("pgdumpd migrate"),
/// so that no application's own lock is likely to be the same.
pub(super) const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(2015450147409832101)";

/// Who holds it.
const HOLDER: &str = "\
SELECT pg_catalog.format('process %s, role \"%s\"', l.pid, a.usename) AS holder
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND l.classid::bigint = 2015450147409832101 >> 32 AND l.objid::bigint = 2015450147409832101 & 4294967295";

/// The history's own table.
pub(super) const CREATE: &str = "\
CREATE TABLE pgdumpd.schema_migrations (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)";

/// One numbered change of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// 1 for the first.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $file)),
        }
    };
}

/// All migrations, in order.
pub const MIGRATIONS: &[Migration] = &[
    migration!(1, "queue", "0001_queue.sql"),
    migration!(2, "functions", "0002_functions.sql"),
    migration!(3, "views", "0003_views.sql"),
    migration!(4, "roles", "0004_roles.sql"),
    migration!(5, "schedules", "0005_schedules.sql"),
    migration!(6, "copies", "0006_copies.sql"),
    migration!(7, "retention", "0007_retention.sql"),
    migration!(8, "target_settings", "0008_target_settings.sql"),
    migration!(9, "storage_ids", "0009_storage_ids.sql"),
    migration!(10, "deletions", "0010_deletions.sql"),
    migration!(11, "rights", "0011_rights.sql"),
    migration!(12, "volume", "0012_volume.sql"),
    migration!(13, "turns", "0013_turns.sql"),
    migration!(14, "kept", "0014_kept.sql"),
    migration!(15, "metadata", "0015_metadata.sql"),
    migration!(16, "trace_parent", "0016_trace_parent.sql"),
    migration!(17, "lists", "0017_lists.sql"),
    migration!(18, "metrics", "0018_metrics.sql"),
    migration!(19, "notifications", "0019_notifications.sql"),
];

/// The schema version that this build needs.
pub const VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

impl Migration {
    /// SHA-256 of its statements, in hexadecimal.
    pub fn checksum(&self) -> String {
        Sha256::digest(self.sql)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The statement that records it as applied. Number, name and checksum hold nothing to quote.
    pub(super) fn history_insert(&self) -> String {
        format!(
            "INSERT INTO pgdumpd.schema_migrations (version, name, checksum) VALUES ({}, '{}', '{}')",
            self.version,
            self.name,
            self.checksum()
        )
    }
}

/// Who holds the lock, in words.
pub(super) async fn holder(connection: &mut PgConnection) -> Result<String, MigrateError> {
    let row = sqlx::raw_sql(HOLDER).fetch_optional(connection).await?;
    Ok(match row {
        Some(row) => row.try_get("holder")?,
        None => "it has just let it go".to_owned(),
    })
}

/// A row of the history.
pub(super) struct AppliedRow {
    pub(super) version: i64,
    name: String,
    checksum: String,
}

/// What was applied; nothing where there is no history yet.
pub(super) async fn applied(
    connection: &mut PgConnection,
) -> Result<Vec<AppliedRow>, MigrateError> {
    const EXISTS: &str =
        "SELECT pg_catalog.to_regclass('pgdumpd.schema_migrations') IS NOT NULL AS present";
    const ROWS: &str =
        "SELECT version, name, checksum FROM pgdumpd.schema_migrations ORDER BY version";
    let row = sqlx::raw_sql(EXISTS).fetch_one(&mut *connection).await?;
    if !row.try_get::<bool, _>("present")? {
        return Ok(Vec::new());
    }
    let rows = sqlx::raw_sql(ROWS).fetch_all(&mut *connection).await?;
    let rows = rows.iter().map(|row| {
        Ok(AppliedRow {
            version: row.try_get("version")?,
            name: row.try_get("name")?,
            checksum: row.try_get("checksum")?,
        })
    });
    rows.collect::<Result<_, sqlx::Error>>()
        .map_err(MigrateError::from)
}

/// Refuses a history that is not the beginning of ours.
pub(super) fn check(applied: &[AppliedRow]) -> Result<(), MigrateError> {
    if let Some(newest) = applied.iter().map(|row| row.version).max()
        && newest > VERSION
    {
        return Err(MigrateError::Newer {
            found: newest,
            known: VERSION,
        });
    }
    for row in applied {
        let known = MIGRATIONS
            .iter()
            .find(|migration| migration.version == row.version);
        if known.is_none_or(|migration| migration.checksum() != row.checksum) {
            return Err(MigrateError::Changed {
                version: row.version,
                name: row.name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one_without_a_gap() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, version);
        }
    }

    #[test]
    fn nothing_in_a_history_insert_needs_quoting() {
        for migration in MIGRATIONS {
            assert!(
                migration
                    .name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_')
            );
        }
    }
}
