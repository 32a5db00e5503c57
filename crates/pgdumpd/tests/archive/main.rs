//! Archives that were compressed anew, before the judge that counts: each major's pg_restore.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a broken environment ends the test"
)]

mod recompress;
mod restores;
mod row_counts;
