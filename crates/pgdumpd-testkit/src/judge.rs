//! The judge: what is in a database, in a form that two databases can be compared by.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::database::Database;

/// Row texts must not depend on the server's or the role's defaults. One snapshot sees it all.
const SESSION: &str = "\
SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET row_security = off; SET work_mem = '64MB';
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Every table's row count and content checksum, by quoted name with its schema.
///
/// Materialized views count as tables; a sequence's "count" is its last value. Besides, in round
/// brackets, a count and checksum for each of: relations, columns, constraints, triggers, routines
/// (their names) and large objects (their contents). The schema `pgdumpd` is left out, for it is
/// left out of dumps. Of an inheritance parent only its own rows count.
///
/// Equal maps mean equal contents, also between servers of different majors.
pub async fn contents(db: &Database) -> BTreeMap<String, (i64, String)> {
    match judge(&mut db.connect().await).await {
        Ok(contents) => contents,
        Err(error) => panic!("cannot read the contents of {}: {error}", db.name()),
    }
}

async fn judge(
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, (i64, String)>, sqlx::Error> {
    sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
    let relations: Vec<(String, bool)> = sqlx::query_as(include_str!("sql/judged_relations.sql"))
        .fetch_all(&mut *connection)
        .await?;
    let mut contents = BTreeMap::new();
    for (name, is_sequence) in relations {
        let sql = if is_sequence {
            sequence(&name)
        } else {
            table(&name)
        };
        let found = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_one(&mut *connection)
            .await?;
        contents.insert(name, found);
    }
    let objects: Vec<(String, i64, String)> =
        sqlx::query_as(include_str!("sql/judged_objects.sql"))
            .fetch_all(&mut *connection)
            .await?;
    contents.extend(
        objects
            .into_iter()
            .map(|(kind, count, sum)| (kind, (count, sum))),
    );
    connection.ping().await?;
    Ok(contents)
}

/// The rows' checksums in order, for a table has none; `judged_row_` is no column's name.
fn table(name: &str) -> String {
    format!(
        "SELECT count(*), md5(coalesce(string_agg(sum, '' ORDER BY sum), '')) \
         FROM (SELECT md5(judged_row_::text) COLLATE \"C\" AS sum FROM ONLY {name} AS judged_row_) AS sums"
    )
}

fn sequence(name: &str) -> String {
    format!(
        "SELECT last_value, CASE WHEN is_called THEN 'called' ELSE 'not called' END FROM {name}"
    )
}
