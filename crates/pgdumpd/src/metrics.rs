//! Metrics for Prometheus: the table of all of them, and what this process counts itself. What the queue knows is read
//! where it is asked for (`http/metrics.rs`). docs/MONITORING.md describes each; a test holds it against this table.

mod counters;
mod figures;
mod table;

pub use counters::{Counters, Ended, Told};
pub use table::{ALL, Kind, Metric};

pub(crate) use figures::Figures;
pub(crate) use table::{
    BUILD_INFO, DAEMONS, JOBS, JOBS_OLDEST_DUE, QUEUE_UP, STORAGE_BACKUPS, STORAGE_STORED_BYTES,
    TARGET_ALERT_AFTER, TARGET_DAEMONS, TARGET_JOBS, TARGET_LAST_DURATION, TARGET_LAST_FAILURE,
    TARGET_LAST_PROVED, TARGET_LAST_SIZE, TARGET_LAST_SUCCESS,
};
