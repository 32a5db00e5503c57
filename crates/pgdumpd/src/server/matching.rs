//! What a job's filters match, asked as pg_dump asks it.

use std::collections::HashSet;

use pgdumpd_client::BackupSpec;
use sqlx::{Executor as _, PgConnection};

use super::Target;
use crate::code::Code;
use crate::dump::{Encoding, Pattern};
use crate::fault::Fault;

/// SQLSTATEs of a pattern that cannot be one: not a regular expression, not in the database's encoding.
const UNUSABLE: [&str; 3] = ["2201B", "22021", "22P05"];

/// What each kind of filter matches, by oid.
#[derive(Debug, Clone, Default)]
pub struct Matches {
    /// Of schemas.
    pub schemas: HashSet<u32>,
    /// Of schemas.
    pub exclude_schemas: HashSet<u32>,
    /// Of relations.
    pub tables: HashSet<u32>,
    /// Of relations.
    pub exclude_tables: HashSet<u32>,
    /// Of relations.
    pub exclude_table_data: HashSet<u32>,
    /// Exclusions that leave out nothing, in sentences.
    pub idle: Vec<String>,
}

/// One kind of filter.
struct Filter<'a> {
    key: &'static str,
    patterns: &'a [String],
    of_schemas: bool,
    excludes: bool,
}

impl Target {
    /// What a spec's filters match now. Takes no table's lock.
    ///
    /// # Errors
    /// A permanent `spec_invalid` for a pattern that pg_dump would refuse; others as [`Target::look`].
    pub async fn matches(&self, spec: &BackupSpec) -> Result<Matches, Fault> {
        let mut matches = Matches::default();
        let filter = |key, patterns, of_schemas, excludes| Filter {
            key,
            patterns,
            of_schemas,
            excludes,
        };
        let filters = [
            (
                filter("schemas", &spec.schemas[..], true, false),
                &mut matches.schemas,
            ),
            (
                filter("exclude_schemas", &spec.exclude_schemas, true, true),
                &mut matches.exclude_schemas,
            ),
            (
                filter("tables", &spec.tables, false, false),
                &mut matches.tables,
            ),
            (
                filter("exclude_tables", &spec.exclude_tables, false, true),
                &mut matches.exclude_tables,
            ),
            (
                filter("exclude_table_data", &spec.exclude_table_data, false, true),
                &mut matches.exclude_table_data,
            ),
        ];
        let mut connection = None;
        for (filter, oids) in filters {
            for pattern in filter.patterns {
                let connection = match &mut connection {
                    Some(connection) => connection,
                    none => none.insert(self.open_as_pg_dump().await?),
                };
                let found = self.matched(connection, &filter, pattern).await?;
                if filter.excludes {
                    matches.idle.extend(idle(&filter, pattern, &found));
                }
                oids.extend(found.iter().map(|(oid, _)| *oid));
            }
        }
        Ok(matches)
    }

    /// A connection with the search path that the role has by itself: patterns without a schema mean what it shows.
    async fn open_as_pg_dump(&self) -> Result<PgConnection, Fault> {
        let mut connection = self.connections.open().await?;
        let reset = connection.execute("RESET search_path");
        self.connections
            .within_limit("its search path", reset)
            .await?;
        Ok(connection)
    }

    /// Oid and kind of what a pattern matches.
    async fn matched(
        &self,
        connection: &mut PgConnection,
        filter: &Filter<'_>,
        pattern: &str,
    ) -> Result<Vec<(u32, u8)>, Fault> {
        let encoding = Encoding::of_database(&self.encoding);
        let (compiled, sql) = if filter.of_schemas {
            (
                Pattern::of_schemas(pattern, encoding),
                include_str!("sql/match_schemas.sql"),
            )
        } else {
            (
                Pattern::of_tables(pattern, encoding, self.url.database()),
                include_str!("sql/match_tables.sql"),
            )
        };
        let compiled = compiled.map_err(|error| refused(filter, pattern, error))?;
        let matching = sqlx::query_as(sql)
            .bind(compiled.name)
            .bind(compiled.schema)
            .bind(encoding.name())
            .fetch_all(connection);
        let answer = async {
            match matching.await {
                Err(error) if is_unusable(&error) => Ok(Err(error)),
                rows => rows.map(Ok),
            }
        };
        let rows: Vec<(i64, String)> = self
            .connections
            .within_limit("what a filter matches", answer)
            .await?
            .map_err(|error| refused(filter, pattern, error))?;
        let rows = rows.into_iter();
        Ok(rows
            .filter_map(|(oid, kind)| Some((u32::try_from(oid).ok()?, kind.bytes().next()?)))
            .collect())
    }
}

/// What to say of an exclusion that leaves out nothing.
fn idle(filter: &Filter<'_>, pattern: &str, found: &[(u32, u8)]) -> Option<String> {
    let key = filter.key;
    if found.is_empty() {
        return Some(format!("{key} {pattern:?} matches nothing"));
    }
    // Rows are left out where they are: not with a partitioned table, but with each of its partitions.
    let has_rows = |(_, kind): &(u32, u8)| [b'r', b'm', b'S'].contains(kind);
    (key == "exclude_table_data" && !found.iter().any(has_rows)).then(|| {
        format!(
            "{key} {pattern:?} matches no table with rows of its own: the rows of a partitioned table are in its partitions"
        )
    })
}

fn is_unusable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| UNUSABLE.contains(&&*code))
}

fn refused(
    filter: &Filter<'_>,
    pattern: &str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Fault {
    let what = format!("{} has an unusable pattern {pattern:?}", filter.key);
    Fault::permanent(Code::SpecInvalid, what)
        .hint("Patterns are those of pg_dump, such as public.orders_*; what is not between double quotes folds to lower case.")
        .caused_by(error)
}
