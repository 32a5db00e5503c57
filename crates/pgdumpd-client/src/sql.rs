//! The statements of this crate, for callers whose sqlx (or driver) is another one.
//!
//! Each is one statement with numbered parameters, written for the extended protocol; its first comment
//! says what the parameters are and what comes back. They rest only on the functions and views that
//! pgdumpd documents for applications, and are as stable as those.

/// Enqueues a backup: ten parameters, one row `(job_id uuid, is_new boolean)`.
pub const ENQUEUE: &str = include_str!("sql/enqueue.sql");

/// Reads one job: parameter `id`, one row of `pgdumpd.backup_status` or none.
pub const STATUS: &str = include_str!("sql/status.sql");

/// Reads jobs, newest first: parameters target, state, label (each may be null) and the most rows.
pub const LIST: &str = include_str!("sql/list.sql");

/// Lists the targets that can be asked for: no parameter, rows `(target text, daemons bigint)`.
pub const TARGETS: &str = include_str!("sql/targets.sql");

/// Cancels a job: parameter `id`, one row with one word.
pub const CANCEL: &str = include_str!("sql/cancel.sql");

/// Names the transaction that it runs in: no parameter, one row. Two runs on one connection that give
/// the same text are inside one transaction block.
pub const TRANSACTION: &str = include_str!("sql/transaction.sql");

/// The channel that is notified, with an empty payload, when any job changes its state. A hint: it
/// carries no authority, and may be switched off.
pub const STATUS_CHANNEL: &str = "pgdumpd_status";
