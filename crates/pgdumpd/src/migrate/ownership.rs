//! Whether the schema `pgdumpd` is ours to migrate. Whoever owns it can have code of theirs run by whoever writes
//! there, so one that somebody else made is refused before anything in it is read.

use sqlx::{PgConnection, Row as _};

use super::MigrateError;

const OWNERSHIP: &str = include_str!("sql/ownership.sql");

/// What may be done with the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// There is none yet.
    Missing,
    /// Made for the role that migrates, and nothing is in it.
    Empty,
    /// A queue of the role that migrates.
    Queue,
}

/// Reads who owns the schema.
///
/// # Errors
/// [`MigrateError::ForeignSchema`], or the database's.
pub(super) async fn expect_ours(connection: &mut PgConnection) -> Result<Schema, MigrateError> {
    let rows = sqlx::raw_sql(OWNERSHIP).fetch_all(&mut *connection).await?;
    let Some(row) = rows.first() else {
        return Ok(Schema::Missing);
    };
    let (owner, user): (String, String) = (row.try_get("owner")?, row.try_get("migrates_as")?);
    let foreign = |what: String| Err(MigrateError::ForeignSchema { what });
    if owner != user {
        return foreign(format!(
            "it belongs to the role \"{owner}\", not to \"{user}\""
        ));
    }
    if let Some(creators) = row.try_get::<Option<String>, _>("creators")? {
        return foreign(format!("{creators} may create objects in it"));
    }
    if let Some(object) = row.try_get::<Option<String>, _>("foreign_object")? {
        return foreign(format!("\"{object}\" in it belongs to another role"));
    }
    match (
        row.try_get::<bool, _>("has_history")?,
        row.try_get::<i64, _>("objects")?,
    ) {
        (true, _) => Ok(Schema::Queue),
        (false, 0) => Ok(Schema::Empty),
        (false, objects) => foreign(format!(
            "it holds {objects} objects and no history of migrations"
        )),
    }
}
