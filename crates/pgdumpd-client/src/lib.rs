#![doc = include_str!("../README.md")]

mod cancel;
mod enqueue;
mod error;
mod list;
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
pub use list::{ListFilter, list};
pub use request::BackupRequest;
pub use spec::{BackupSpec, SPEC_VERSION};
pub use status::{JobKind, JobState, JobStatus, StoredIn, UnknownKind, UnknownState, status};
pub use targets::{ServedTarget, targets};
pub use wait::{enqueue_and_wait, enqueue_and_wait_on};
pub use watch::{Watch, watch};
