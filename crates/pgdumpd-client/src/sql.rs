//! The statements of this crate, for callers whose sqlx (or driver) is another one.
//!
//! Each is one statement with numbered parameters, written for the extended protocol; its first comment
//! says what the parameters are and what comes back. They rest only on the functions and views that
//! pgdumpd documents for applications, and are as stable as those.

/// Enqueues a backup: ten parameters, one row `(job_id uuid, is_new boolean)`.
pub const ENQUEUE: &str = include_str!("sql/enqueue.sql");

/// Reads jobs: parameter ids (`uuid[]`), a row of `pgdumpd.backup_status` for each that is visible.
pub const STATUS: &str = include_str!("sql/status.sql");

/// Reads jobs, newest first: parameters target, state, label, kind, whose copies (each may be null), the most rows,
/// targets, and the job after which the page begins (each may be null).
pub const LIST: &str = include_str!("sql/list.sql");

/// Lists the targets that can be asked for: no parameter, rows `(target text, daemons bigint)`.
pub const TARGETS: &str = include_str!("sql/targets.sql");

/// Lists the targets that can be asked for or have a backup: parameter names (may be null), rows
/// `(target text, daemons bigint, last_success_id uuid, last_success_at timestamptz)`.
pub const KNOWN_TARGETS: &str = include_str!("sql/known_targets.sql");

/// Reads what is queued or running: parameters targets (may be null) and the most rows, rows of
/// `pgdumpd.backup_monitoring`.
pub const MONITORING: &str = include_str!("sql/monitoring.sql");

/// Cancels a job: parameter `id`, one row with one word.
pub const CANCEL: &str = include_str!("sql/cancel.sql");

/// Names the transaction that it runs in: no parameter, one row. Two runs on one connection that give
/// the same text are inside one transaction block.
pub const TRANSACTION: &str = include_str!("sql/transaction.sql");

/// The channel that is notified, with an empty payload, when any job changes its state. A hint: it
/// carries no authority, and may be switched off.
pub const STATUS_CHANNEL: &str = "pgdumpd_status";
