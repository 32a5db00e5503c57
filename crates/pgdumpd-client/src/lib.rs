#![doc = include_str!("../README.md")]

mod cancel;
mod enqueue;
mod error;
mod list;
mod monitoring;
mod request;
mod spec;
pub mod sql;
mod status;
mod targets;
mod wait;
mod watch;

pub use cancel::{Cancelled, cancel};
pub use enqueue::{Enqueued, enqueue};
pub use error::{ClientError, InvalidRequest};
pub use list::{ListFilter, PageKey, list};
pub use monitoring::{MonitoredJob, monitoring};
pub use request::BackupRequest;
pub use spec::{BackupSpec, SPEC_VERSION};
pub use status::{
    JobKind, JobState, JobStatus, StoredIn, UnknownKind, UnknownState, status, statuses,
};
pub use targets::{KnownTarget, ServedTarget, known_targets, targets};
pub use wait::{enqueue_and_wait, enqueue_and_wait_on};
pub use watch::{Watch, watch};
