//! A database that a backup is restored into: what it has and lacks, and how far a restore of it is.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, FromRow, PgConnection, Row as _};
use uuid::Uuid;

use super::loading::{WHO, become_role, connect, quoted};
use super::{OLDEST_MAJOR, fault};
use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;

/// A connection to it.
#[derive(Debug)]
pub struct Restored {
    connection: PgConnection,
    version: Version,
}

/// What the server says of itself.
#[derive(Debug)]
struct Version {
    number: i32,
    version: String,
    encoding: String,
    is_standby: bool,
    may_create: bool,
}

impl FromRow<'_, PgRow> for Version {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            version: row.try_get("version")?,
            encoding: row.try_get("encoding")?,
            is_standby: row.try_get("is_standby")?,
            may_create: row.try_get("may_create")?,
        })
    }
}

/// An entry that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its dump id, where it is known.
    pub dump_id: Option<i32>,
    /// What was said.
    pub message: String,
    /// The statement's first line.
    pub command: Option<String>,
}

/// What an earlier restore of the database has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Of which backup.
    pub backup_id: Uuid,
    /// Which tables it was asked for; empty for all.
    pub tables: String,
    /// Whether the database was empty when it began: then all that is there is the restore's own.
    pub was_empty: bool,
    /// Which phases.
    pub phases: HashSet<String>,
    /// The rows of which tables, by their dump ids.
    pub loaded: HashSet<i32>,
    /// What could not be restored in these phases.
    pub errors: Vec<Refused>,
}

/// The table that rows are merged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergedInto {
    /// There is none.
    Nothing,
    /// Nobody can tell which of its rows are the same.
    WithoutKey,
    /// Its name and the columns of a key of it, as SQL writes them.
    Keyed {
        /// The name.
        table: String,
        /// The columns.
        key: Vec<String>,
    },
}

impl Restored {
    /// Connects, and becomes this role.
    ///
    /// # Errors
    /// As [`Target::connect`](super::Target::connect), and `restore_refused` of the role.
    pub async fn connect(url: &DatabaseUrl, role: Option<&str>) -> Result<Self, Fault> {
        let mut connection = connect(url).await?;
        let prepare = sqlx::raw_sql(include_str!("sql/prepare_load.sql")).execute(&mut connection);
        prepare
            .await
            .map_err(|error| fault::asking(WHO, "its settings", error))?;
        become_role(&mut connection, role).await?;
        let version: Version = sqlx::query_as(include_str!("sql/restored_version.sql"))
            .fetch_one(&mut connection)
            .await
            .map_err(|error| fault::asking(WHO, "its version", error))?;
        if version.number.cast_unsigned() / 10_000 < OLDEST_MAJOR {
            let what = format!("the server is a PostgreSQL {}", version.version);
            return Err(Fault::permanent(Code::ServerTooOld, what)
                .hint(format!("Restore into version {OLDEST_MAJOR} or newer.")));
        }
        Ok(Self {
            connection,
            version,
        })
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.version.number.cast_unsigned() / 10_000
    }

    /// The server's version, as it says it.
    pub fn version(&self) -> &str {
        &self.version.version
    }

    /// The database's encoding.
    pub fn encoding(&self) -> &str {
        &self.version.encoding
    }

    /// Whether the server takes no writes.
    pub fn is_standby(&self) -> bool {
        self.version.is_standby
    }

    /// Whether the role may make schemas.
    pub fn may_create(&self) -> bool {
        self.version.may_create
    }

    /// The first few things in it that a new database does not have, each as `table public.orders`.
    ///
    /// # Errors
    /// The database's.
    pub async fn contents(&mut self) -> Result<Vec<String>, Fault> {
        sqlx::query_scalar(include_str!("sql/restored_contents.sql"))
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| fault::asking(WHO, "what is in it", error))
    }

    /// Which of these the server does not have, each with its kind.
    ///
    /// # Errors
    /// The database's.
    pub async fn lacks(
        &mut self,
        extensions: &[String],
        roles: &[String],
        tablespaces: &[String],
    ) -> Result<Vec<(String, String)>, Fault> {
        sqlx::query_as(include_str!("sql/restored_lacks.sql"))
            .bind(extensions)
            .bind(roles)
            .bind(tablespaces)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| fault::asking(WHO, "what the server has", error))
    }

    /// What a table of this name is, for who merges rows into it.
    ///
    /// # Errors
    /// The database's.
    pub async fn merged_into(&mut self, schema: &str, name: &str) -> Result<MergedInto, Fault> {
        let found: Option<(String, Option<Vec<String>>)> =
            sqlx::query_as(include_str!("sql/merged_into.sql"))
                .bind(schema)
                .bind(name)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(|error| fault::asking(WHO, "its tables", error))?;
        Ok(match found {
            None => MergedInto::Nothing,
            Some((_, None)) => MergedInto::WithoutKey,
            Some((table, Some(key))) => MergedInto::Keyed { table, key },
        })
    }

    /// What an earlier restore has done and noted; `None` if none is under way.
    ///
    /// # Errors
    /// The database's.
    pub async fn finished(&mut self) -> Result<Option<Finished>, Fault> {
        let read = async {
            let there = "SELECT pg_catalog.to_regclass('pgdumpd_restore.backup') IS NOT NULL";
            if !sqlx::query_scalar(there)
                .fetch_one(&mut self.connection)
                .await?
            {
                return Ok(None);
            }
            let backup = "SELECT id, tables, was_empty FROM pgdumpd_restore.backup LIMIT 1";
            let backup: Option<(Uuid, String, bool)> = sqlx::query_as(backup)
                .fetch_optional(&mut self.connection)
                .await?;
            let Some((backup_id, tables, was_empty)) = backup else {
                return Ok(None);
            };
            let phases = sqlx::query_scalar("SELECT phase FROM pgdumpd_restore.done")
                .fetch_all(&mut self.connection)
                .await?;
            let loaded = sqlx::query_scalar("SELECT dump_id FROM pgdumpd_restore.loaded")
                .fetch_all(&mut self.connection)
                .await?;
            let errors: Vec<(Option<i32>, String, Option<String>)> =
                sqlx::query_as("SELECT dump_id, message, command FROM pgdumpd_restore.errors")
                    .fetch_all(&mut self.connection)
                    .await?;
            Ok(Some(Finished {
                backup_id,
                tables,
                was_empty,
                phases: phases.into_iter().collect(),
                loaded: loaded.into_iter().collect(),
                errors: errors
                    .into_iter()
                    .map(|(dump_id, message, command)| Refused {
                        dump_id,
                        message,
                        command,
                    })
                    .collect(),
            }))
        };
        read.await
            .map_err(|error| fault::asking(WHO, "how far an earlier restore came", error))
    }

    /// Notes that the restore of this backup has begun.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(
        &mut self,
        backup_id: Uuid,
        tables: &str,
        was_empty: bool,
    ) -> Result<(), Fault> {
        let begin = async {
            let mut transaction = self.connection.begin().await?;
            sqlx::raw_sql(include_str!("sql/restored_begin.sql"))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO pgdumpd_restore.backup (id, tables, was_empty) VALUES ($1, $2, $3)",
            )
            .bind(backup_id)
            .bind(tables)
            .bind(was_empty)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        begin
            .await
            .map_err(|error| fault::asking(WHO, "the schema that notes how far it is", error))
    }

    /// Notes that a phase is done, and what could not be restored in it.
    ///
    /// # Errors
    /// The database's.
    pub async fn note(&mut self, phase: &str, errors: &[Refused]) -> Result<(), Fault> {
        let ids: Vec<Option<i32>> = errors.iter().map(|error| error.dump_id).collect();
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        let commands: Vec<Option<&str>> = errors
            .iter()
            .map(|error| error.command.as_deref())
            .collect();
        sqlx::query(include_str!("sql/restored_note.sql"))
            .bind(phase)
            .bind(ids)
            .bind(messages)
            .bind(commands)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| fault::asking(WHO, "how far it is", error))
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// The server's.
    pub async fn make_database(&mut self, name: &str) -> Result<(), Fault> {
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
        match sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => {
                let what = format!("the database \"{name}\" cannot be made");
                Err(Fault::permanent(Code::RestoreRefused, what).caused_by(error))
            }
        }
    }

    /// Makes a role that can own something and cannot log in, unless it is there: for a server that is thrown away.
    ///
    /// # Errors
    /// The server's.
    pub async fn make_role(&mut self, name: &str) -> Result<(), Fault> {
        let roles = [name.to_owned()];
        if self.lacks(&[], &roles, &[]).await?.is_empty() {
            return Ok(());
        }
        self.run(format!("CREATE ROLE {}", quoted(name)), "a new role")
            .await
    }

    /// Whether a statement gives true; what the server says where it gives something else.
    ///
    /// # Errors
    /// The server's words.
    pub async fn check(&mut self, sql: &str) -> Result<bool, String> {
        let row: Result<Option<bool>, _> = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut self.connection)
            .await;
        row.map(|found| found == Some(true))
            .map_err(|error| error.to_string())
    }

    async fn run(&mut self, sql: String, what: &str) -> Result<(), Fault> {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| fault::asking(WHO, what, error))
    }

    /// Removes all large objects, which are those of a restore that is begun again.
    ///
    /// # Errors
    /// The database's.
    pub async fn unlink_large_objects(&mut self) -> Result<(), Fault> {
        let sql = "SELECT pg_catalog.lo_unlink(o.oid) FROM pg_catalog.pg_largeobject_metadata AS o";
        sqlx::query(sql)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| fault::asking(WHO, "its large objects", error))
    }

    /// Which of these the database has already: relations, functions and types, each with its schema; and large objects,
    /// where the archive has some.
    ///
    /// # Errors
    /// The database's.
    pub async fn collisions(
        &mut self,
        schemas: &[String],
        names: &[String],
        large_objects: bool,
    ) -> Result<Vec<String>, Fault> {
        sqlx::query_scalar(include_str!("sql/restored_collisions.sql"))
            .bind(schemas)
            .bind(names)
            .bind(large_objects)
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| fault::asking(WHO, "what is in it", error))
    }

    /// Gathers statistics of the database's tables.
    ///
    /// # Errors
    /// The database's.
    pub async fn analyze(&mut self) -> Result<(), Fault> {
        sqlx::raw_sql("ANALYZE")
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| fault::asking(WHO, "its statistics", error))
    }

    /// Forgets how far it is, and waits until all of it is on disk.
    ///
    /// # Errors
    /// The database's.
    pub async fn end(&mut self) -> Result<(), Fault> {
        sqlx::raw_sql(include_str!("sql/restored_end.sql"))
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|error| fault::asking(WHO, "the end of the restore", error))
    }
}

/// The statement that notes, with the rows themselves, that they are loaded.
pub fn note_of_table(dump_id: i32, rows: Option<u64>) -> String {
    let rows = rows.unwrap_or_default();
    format!("INSERT INTO pgdumpd_restore.loaded VALUES ({dump_id}, {rows})")
}
