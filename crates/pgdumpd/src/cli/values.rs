//! Arguments whose own parsers' words would not help a person.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A job's id.
pub(super) fn job_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text).map_err(|_| {
        "an id is a UUID such as 0190c8f2-5a6b-7c3d-8e4f-a1b2c3d4e5f6, as `pgdumpd list` shows it"
            .to_owned()
    })
}

/// A time with its zone.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| {
        "a time is written as 2030-01-31T02:00:00Z or 2030-01-31T02:00:00+01:00".to_owned()
    })
}
