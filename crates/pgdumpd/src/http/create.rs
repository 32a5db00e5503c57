//! `POST create`: enqueues a backup, and answers at once with its id.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use pgdumpd_client::{BackupRequest, BackupSpec, InvalidRequest, JobKind, JobStatus};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tracing::info;
use utoipa::ToSchema;
use uuid::{Builder, Uuid};

use super::access::{Enqueuer, Identity};
use super::answer::BackupAnswer;
use super::id::uuid;
use super::problem::{Problem, ProblemType};
use super::service::Service;

/// A body has a target, a label and some patterns; the queue takes 16 kB of the latter.
const LARGEST_BODY: usize = 64 * 1024;

const KEYS: [&str; 4] = ["target", "id", "label", "spec"];

/// The body of `POST create`. It is read by hand, so that every mistake has an answer that names it; this is its
/// description.
#[derive(ToSchema)]
#[schema(as = CreateBody)]
#[expect(dead_code, reason = "only described")]
pub(super) struct CreateBody {
    /// The target's name; may be left out with a token for exactly one target.
    #[schema(nullable = false, min_length = 1, max_length = 200)]
    target: Option<String>,
    /// A UUID of the asker's choice; the same again is the same backup. Excludes Idempotency-Key.
    #[schema(nullable = false, format = "uuid")]
    id: Option<String>,
    /// A text for people, at most 200 bytes.
    #[schema(nullable = false, max_length = 200)]
    label: Option<String>,
    /// What the backup contains, if not everything.
    #[schema(nullable = false)]
    spec: Option<Spec>,
}

/// What a backup contains: arrays of `pg_dump`'s patterns.
#[derive(ToSchema)]
#[schema(as = Spec)]
#[expect(dead_code, reason = "only described")]
pub(super) struct Spec {
    /// Schemas to take; all, if empty.
    #[schema(nullable = false)]
    schemas: Option<Vec<String>>,
    /// Schemas to leave out.
    #[schema(nullable = false, rename = "excludeSchemas")]
    exclude_schemas: Option<Vec<String>>,
    /// Tables to take; all, if empty.
    #[schema(nullable = false)]
    tables: Option<Vec<String>>,
    /// Tables to leave out.
    #[schema(nullable = false, rename = "excludeTables")]
    exclude_tables: Option<Vec<String>>,
    /// Tables whose rows to leave out.
    #[schema(nullable = false, rename = "excludeTableData")]
    exclude_table_data: Option<Vec<String>>,
}

/// Ask for a backup
///
/// The job exists when the answer is sent. To repeat a request whose answer was lost, send the same `id` or the same
/// Idempotency-Key: the same request again has the same backup as its answer.
#[utoipa::path(
    post, path = "/create", operation_id = "create", tag = "backup",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; the same key with another body is refused"),
    ),
    request_body(content = CreateBody, content_type = "application/json"),
    responses(
        (status = 202, description = "The backup is queued", body = BackupAnswer, headers(
            ("Location" = String, description = "Where its status is"),
            ("Retry-After" = u32, description = "After how many seconds to ask for it"),
        )),
    ),
)]
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Enqueuer(identity): Enqueuer,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let asked = Asked::read(body).await?;
    let target = asked.target(&identity)?;
    let id = job_id(&service, &identity, &headers, asked.id.as_deref())?;
    let mut request = BackupRequest::new(&target)
        .with_id(id)
        .spec(asked.spec.clone());
    if let Some(name) = identity.name() {
        request = request.metadata(json!({ "http_token": name }));
    }
    // One that is not as W3C Trace Context has it is left out, as that says.
    if let Some(traced) = traced(&request, &headers) {
        request = traced;
    }
    let enqueued = service.shared.applications.enqueue(request).await;
    let enqueued = enqueued.map_err(Problem::from)?;
    // What was accepted stays accepted, also if it cannot be read now.
    let job = service.shared.reads.read(id).await.ok().flatten();
    if !enqueued.is_new
        && let Some(job) = &job
        && !is_same_request(job, &asked.spec)
    {
        return Err(Problem::new(
            ProblemType::IdempotencyMismatch,
            "the id or the Idempotency-Key belongs to a request with another body",
        )
        .hint("Choose a new one for a new backup."));
    }
    if enqueued.is_new {
        info!(job.id = %id, target, http.token = identity.name(), "enqueued over HTTP");
    }
    let answer = job.map_or_else(
        || BackupAnswer {
            target: Some(target),
            ..BackupAnswer::waiting(id)
        },
        |job| BackupAnswer::from(&*job),
    );
    let location = format!("/api/backup/status/{id}");
    Ok((
        StatusCode::ACCEPTED,
        [
            (header::LOCATION, location),
            (header::RETRY_AFTER, "1".to_owned()),
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        ],
        Json(answer),
    ))
}

/// The request with the caller's trace, if the header has a good one.
fn traced(request: &BackupRequest, headers: &HeaderMap) -> Option<BackupRequest> {
    let parent = headers.get("traceparent")?.to_str().ok()?;
    let traced = request.clone().trace_parent(parent);
    let is_refused = |error: InvalidRequest| error.field() == "trace_parent";
    (!traced.validate().is_err_and(is_refused)).then_some(traced)
}

/// The target is the same already: the queue refuses another one's id.
fn is_same_request(earlier: &JobStatus, spec: &BackupSpec) -> bool {
    let earlier_spec = serde_json::from_value::<BackupSpec>(earlier.spec.clone());
    earlier.kind == JobKind::Backup && earlier_spec.is_ok_and(|earlier| earlier == *spec)
}

/// What a body asks for.
struct Asked {
    target: Option<String>,
    id: Option<String>,
    spec: BackupSpec,
}

impl Asked {
    async fn read(body: Body) -> Result<Self, Problem> {
        // Reads no more of it than is allowed, whatever its length was said to be.
        let bytes = to_bytes(body, LARGEST_BODY).await.map_err(|error| {
            if is_too_large(&error) {
                let text = format!("the body has more than {LARGEST_BODY} bytes");
                Problem::new(ProblemType::TooLarge, text)
            } else {
                Problem::new(ProblemType::MalformedRequest, "the body breaks off")
            }
        })?;
        let malformed = |detail| Problem::new(ProblemType::MalformedRequest, detail);
        let body = if bytes.iter().all(u8::is_ascii_whitespace) {
            Map::new()
        } else {
            match serde_json::from_slice(&bytes) {
                Ok(Value::Object(body)) => body,
                Ok(_) => return Err(malformed("the body is not a JSON object")),
                Err(_) => return Err(malformed("the body is not JSON")),
            }
        };
        Self::of(body)
    }

    fn of(mut body: Map<String, Value>) -> Result<Self, Problem> {
        if let Some(key) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(invalid(format!("unknown key {key:?}")));
        }
        let mut text = |key: &str| match body.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("`{key}` is not a string"))),
        };
        let (target, id, label) = (text("target")?, text("id")?, text("label")?);
        let mut spec = match body.remove("spec") {
            None => BackupSpec::default(),
            Some(Value::Object(spec)) => spec_of(spec)?,
            Some(_) => return Err(invalid("`spec` is not an object")),
        };
        if label.is_some() {
            spec.label = label;
        }
        Ok(Self { target, id, spec })
    }

    /// The target that it means, which its asker may use.
    fn target(&self, identity: &Identity) -> Result<String, Problem> {
        let only = || match identity.targets() {
            Some([only]) => Some(only.clone()),
            _ => None,
        };
        let target = self.target.clone().or_else(only);
        let target = target.ok_or_else(|| invalid("`target` is missing"))?;
        if identity.may_use(&target) {
            return Ok(target);
        }
        let text = format!("you may not back up {target:?}");
        Err(Problem::new(ProblemType::Forbidden, text))
    }
}

/// The spec as the queue keeps it: its keys are snake_case there.
fn spec_of(spec: Map<String, Value>) -> Result<BackupSpec, Problem> {
    let mut snake_case = Map::new();
    for (key, value) in spec {
        let mut name = String::new();
        for character in key.chars() {
            if character.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(character.to_ascii_lowercase());
        }
        if snake_case.insert(name, value).is_some() {
            return Err(invalid(format!("`spec` has {key:?} twice")));
        }
    }
    serde_json::from_value(Value::Object(snake_case))
        .map_err(|error| invalid(format!("`spec` cannot be used: {error}")))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemType::InvalidRequest, detail)
}

/// Whether a body was given up at the limit, by what axum's error wraps.
fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The asker's own id, one that follows from its key, or a random one.
fn job_id(
    service: &Service,
    identity: &Identity,
    headers: &HeaderMap,
    id: Option<&str>,
) -> Result<Uuid, Problem> {
    let key = headers.get("idempotency-key");
    match (id, key) {
        (Some(_), Some(_)) => Err(invalid("give either `id` or Idempotency-Key")),
        (Some(id), None) => uuid(id).ok_or_else(|| invalid("`id` is not a UUID")),
        (None, None) => Ok(Uuid::now_v7()),
        (None, Some(key)) => {
            const LENGTH: std::ops::RangeInclusive<usize> = 1..=255;
            if !LENGTH.contains(&key.len()) {
                return Err(invalid("Idempotency-Key does not have 1 to 255 characters"));
            }
            Ok(id_of_key(service.shared.queue_id, identity, key.as_bytes()))
        }
    }
}

/// The same id for the same token and key, so that the queue itself finds the earlier job, also one of another target,
/// and also if another daemon gets the request.
fn id_of_key(queue: Uuid, identity: &Identity, key: &[u8]) -> Uuid {
    let name = identity.name().unwrap_or_default();
    let mut hash = Sha256::new();
    // Each with its length, so that no two of them run together.
    for part in [
        b"pgdumpd http".as_slice(),
        queue.as_bytes(),
        name.as_bytes(),
        key,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    // A UUID of version 8, RFC 9562: whatever its maker wants.
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: Value) -> Result<Asked, Problem> {
        match body {
            Value::Object(body) => Asked::of(body),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn keys_of_a_spec_are_those_of_the_queue() {
        let asked =
            asked(json!({"label": "x", "spec": {"excludeTableData": ["a"], "schemas": ["s"]}}));
        let spec = asked.map(|asked| asked.spec).unwrap();
        let json = serde_json::to_value(spec).unwrap();
        let wanted = json!({"schemas": ["s"], "exclude_table_data": ["a"], "label": "x"});
        assert_eq!(json, wanted);
    }

    #[test]
    fn every_mistake_in_a_body_is_named() {
        for (body, names) in [
            (json!({"targets": "a"}), "unknown key \"targets\""),
            (json!({"target": 7}), "`target` is not a string"),
            (json!({"target": null}), "`target` is not a string"),
            (json!({"spec": []}), "`spec` is not an object"),
            (json!({"spec": {"owner": ["a"]}}), "owner"),
            (json!({"spec": {"tables": "a"}}), "`spec` cannot be used"),
            (
                json!({"spec": {"excludeTables": [], "exclude_tables": []}}),
                "twice",
            ),
        ] {
            let problem = format!("{:?}", asked(body).err().unwrap());
            assert!(problem.contains("InvalidRequest"), "{problem}");
            assert!(problem.replace('\\', "").contains(names), "{problem}");
        }
    }
}
