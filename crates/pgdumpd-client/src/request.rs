//! What to enqueue.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::InvalidRequest;
use crate::spec::BackupSpec;

const NAME_BYTES: RangeInclusive<usize> = 1..=200;
const PATTERN_BYTES: RangeInclusive<usize> = 1..=1000;
const JSON_BYTES: usize = 16_384;
const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 60 * 60);

/// A backup to ask for: a target's name, and what differs from the defaults.
///
/// The id exists from the first moment ([`BackupRequest::id`]): it is a UUIDv7 unless the caller chooses one.
/// Values are checked when the request is enqueued, or by [`BackupRequest::validate`].
///
/// ```
/// use pgdumpd_client::BackupRequest;
///
/// let request = BackupRequest::new("shop").priority(1).idempotency_key("shop nightly 2026-08-01");
/// assert!(request.validate().is_ok());
/// assert_eq!(request.priority(9).validate().unwrap_err().field(), "priority");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a request does nothing until it is enqueued"]
pub struct BackupRequest {
    pub(crate) id: Uuid,
    pub(crate) target: String,
    pub(crate) spec: BackupSpec,
    pub(crate) priority: i32,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) max_attempts: i32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) metadata: serde_json::Value,
    pub(crate) trace_parent: Option<String>,
}

impl BackupRequest {
    /// Asks for a backup of all of a target, as soon as a daemon is free.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            id: Uuid::now_v7(),
            target: target.into(),
            spec: BackupSpec::default(),
            priority: 3,
            run_at: None,
            idempotency_key: None,
            max_attempts: 3,
            timeout: None,
            metadata: serde_json::json!({}),
            trace_parent: None,
        }
    }

    /// The id that the job will have, unless an idempotency key finds an earlier job.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Chooses the job's id; any UUID that no other job has.
    pub fn with_id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }

    /// Chooses what part of the database to take.
    pub fn spec(mut self, spec: BackupSpec) -> Self {
        self.spec = spec;
        self
    }

    /// Adds a word of the caller's own to the spec: kept in the manifest, shown in lists.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.spec.label = Some(label.into());
        self
    }

    /// 1 (first) to 5 (last); 3 by default.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Starts no earlier than this, by the database's clock, in the years 2000 to 9999; by default at once.
    pub fn run_at(mut self, run_at: DateTime<Utc>) -> Self {
        self.run_at = Some(run_at);
        self
    }

    /// At most one job of a role and target has this key, 1 to 200 bytes: to enqueue again gives the first job's id.
    /// A key is taken for as long as its job is kept, so put a date into it.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// How often the daemon tries at most, 1 to 100; 3 by default. Faults that stay are not tried again.
    pub fn max_attempts(mut self, max_attempts: i32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// How long one attempt may take, 1 second to 30 days. The limit of the target's configuration, if it has one,
    /// holds as well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What the caller wants to find again with the job, such as its own user's id: an object of at most 16 kB. Kept
    /// in the queue alone: nothing reads it, and no manifest has it.
    pub fn metadata(mut self, metadata: serde_json::Value) -> Self {
        self.metadata = metadata;
        self
    }

    /// The caller's W3C trace context, such as `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`: every log line
    /// of the job has it.
    pub fn trace_parent(mut self, trace_parent: impl Into<String>) -> Self {
        self.trace_parent = Some(trace_parent.into());
        self
    }

    /// Checks every value, as enqueueing does before it asks the database.
    ///
    /// # Errors
    /// [`InvalidRequest`] names the first field that cannot be, and what is allowed.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        let bytes = self.target.len();
        if !NAME_BYTES.contains(&bytes) {
            return Err(InvalidRequest::new(
                "target",
                format!("has {bytes} bytes, not 1 to 200"),
            ));
        }
        if self.target.chars().any(char::is_control) {
            return Err(InvalidRequest::new("target", "has a control character"));
        }
        // Most likely with a password, which is not to be kept in the queue.
        if self.target.contains("://") {
            return Err(InvalidRequest::new(
                "target",
                "is an address: write the name that the daemon's configuration gives to the target",
            ));
        }
        if !(1..=5).contains(&self.priority) {
            return Err(InvalidRequest::new(
                "priority",
                format!("is {}, not 1 (first) to 5 (last)", self.priority),
            ));
        }
        if !(1..=100).contains(&self.max_attempts) {
            return Err(InvalidRequest::new(
                "max_attempts",
                format!("is {}, not 1 to 100", self.max_attempts),
            ));
        }
        if let Some(timeout) = self.timeout
            && !TIMEOUT.contains(&timeout)
        {
            return Err(InvalidRequest::new(
                "timeout",
                format!("is {timeout:?}, not 1 second to 30 days"),
            ));
        }
        if let Some(key) = &self.idempotency_key {
            check_text("idempotency_key", key, NAME_BYTES)?;
        }
        if let Some(trace_parent) = &self.trace_parent
            && !is_trace_parent(trace_parent)
        {
            return Err(InvalidRequest::new(
                "trace_parent",
                "is not a traceparent of W3C Trace Context: version, trace, parent and flags in lower-case hexadecimal, \
                 with hyphens between them",
            ));
        }
        self.validate_metadata()?;
        self.validate_spec()
    }

    fn validate_metadata(&self) -> Result<(), InvalidRequest> {
        if !self.metadata.is_object() {
            return Err(InvalidRequest::new("metadata", "is not an object"));
        }
        check_bytes("metadata", &self.metadata)
    }

    fn validate_spec(&self) -> Result<(), InvalidRequest> {
        for (field, patterns) in self.spec.patterns() {
            for pattern in patterns {
                check_text(field, pattern, PATTERN_BYTES)?;
            }
        }
        if let Some(label) = &self.spec.label {
            check_text("label", label, 0..=200)?;
        }
        check_bytes("spec", &self.spec_json())
    }

    /// The spec as the database keeps it.
    pub(crate) fn spec_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.spec).expect("a spec is lists of strings and a string")
    }
}

/// Whether this is `00-{32 digits}-{16 digits}-{2 digits}` in lower-case hexadecimal, of which neither number is zero.
fn is_trace_parent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return false;
    };
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
    is_hex(version, 2)
        && *version != "ff"
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2)
}

/// An estimate of the database's own measure, which has the last word.
fn check_bytes(field: &'static str, json: &serde_json::Value) -> Result<(), InvalidRequest> {
    let bytes = json.to_string().len();
    if bytes > JSON_BYTES {
        return Err(InvalidRequest::new(
            field,
            format!("has {bytes} bytes, not at most {JSON_BYTES}"),
        ));
    }
    Ok(())
}

fn check_text(
    field: &'static str,
    text: &str,
    bytes: RangeInclusive<usize>,
) -> Result<(), InvalidRequest> {
    if !bytes.contains(&text.len()) {
        let (least, most) = bytes.into_inner();
        return Err(InvalidRequest::new(
            field,
            format!("has a text of {} bytes, not {least} to {most}", text.len()),
        ));
    }
    // PostgreSQL's text holds every character but this one.
    if text.contains('\0') {
        return Err(InvalidRequest::new(field, "has a zero byte"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_context_of_w3c_is_taken() {
        let request = BackupRequest::new("shop").trace_parent(TRACE);
        request.validate().unwrap();
    }

    #[test]
    fn a_plain_request_is_valid_and_has_a_time_ordered_id() {
        let request = BackupRequest::new("shop");
        request.validate().unwrap();
        assert_eq!(request.id().get_version_num(), 7);
    }

    #[test]
    fn each_wrong_value_names_its_field() {
        let request = || BackupRequest::new("shop");
        let spec = |tables: &[&str]| BackupSpec {
            tables: tables.iter().map(ToString::to_string).collect(),
            ..BackupSpec::default()
        };
        let many: Vec<String> = (0..20).map(|n| format!("{n:0>900}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (field, request) in [
            ("target", BackupRequest::new("")),
            ("target", BackupRequest::new("x".repeat(201))),
            ("target", BackupRequest::new("a\nb")),
            ("priority", request().priority(0)),
            ("priority", request().priority(6)),
            ("max_attempts", request().max_attempts(0)),
            ("max_attempts", request().max_attempts(101)),
            ("timeout", request().timeout(Duration::from_millis(999))),
            ("timeout", request().timeout(Duration::from_secs(2_592_001))),
            ("idempotency_key", request().idempotency_key("")),
            ("idempotency_key", request().idempotency_key("a\0b")),
            ("tables", request().spec(spec(&["ok", ""]))),
            ("tables", request().spec(spec(&["x".repeat(1001).as_str()]))),
            ("label", request().label("x".repeat(201))),
            ("spec", request().spec(spec(&many))),
            ("trace_parent", request().trace_parent("")),
            ("trace_parent", request().trace_parent(TRACE.to_uppercase())),
            ("trace_parent", request().trace_parent(format!("{TRACE}\n"))),
            (
                "trace_parent",
                request().trace_parent(TRACE.replace("00-0a", "ff-0a")),
            ),
            (
                "trace_parent",
                request().trace_parent(TRACE.replace("b7ad6b7169203331", "0000000000000000")),
            ),
        ] {
            let error = request.validate().unwrap_err();
            assert_eq!(error.field(), field, "{error}");
            assert!(error.to_string().starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_spec_that_asks_for_nothing_is_an_empty_object() {
        let json = BackupRequest::new("shop").spec_json();
        assert_eq!(json, serde_json::json!({}));
        let json = BackupRequest::new("shop").label("nightly").spec_json();
        assert_eq!(json, serde_json::json!({"label": "nightly"}));
    }
}
