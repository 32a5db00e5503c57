//! Sample data: a schema with one of almost everything, and as much data as asked for.

use crate::database::Database;

/// Fills an empty database with about `megabytes` MB (counted as COPY writes them) in tables of
/// very different shapes, and with one of almost every kind of object. Twice the same call gives
/// twice the same contents.
pub async fn fill(db: &Database, megabytes: u32) {
    db.execute(include_str!("sql/fill_schema.sql")).await;
    // Rows for a megabyte, measured.
    let sized = include_str!("sql/fill_data.sql").replace(":megabytes", &megabytes.to_string());
    db.execute(&sized).await;
}

/// Adds `count` large objects of about `bytes` bytes each, with ids from 900001.
pub async fn fill_large_objects(db: &Database, count: u32, bytes: u32) {
    let blocks = bytes.div_ceil(32);
    db.execute(&format!(
        "SELECT lo_from_bytea((900000 + i)::oid, \
             (SELECT string_agg(sha256((i || '.' || b)::bytea), '') FROM generate_series(1, {blocks}) AS b)) \
         FROM generate_series(1, {count}) AS i"
    ))
    .await;
}

/// Fills `public` with functions and operators that fit better than PostgreSQL's own where a session follows its search
/// path: each fails when it is called, and says who called it.
pub async fn hostile_public(db: &Database) {
    db.execute(include_str!("sql/hostile_public.sql")).await;
}
