//! What an error of a request is answered with: RFC 9457, with stable types (docs/ERRORS.md).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgdumpd_client::ClientError;
use serde::Serialize;
use tracing::warn;
use utoipa::ToSchema;

use crate::queue::ApplicationError;

/// What the type of a problem begins with.
pub const PREFIX: &str = "urn:pgdumpd:problem:";

/// The kinds of problems. A word that was released never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemType {
    /// No token, or an unknown one.
    Unauthenticated,
    /// The token does not allow it.
    Forbidden,
    /// A page of another site asked.
    CrossSite,
    /// No such job, or one of a target that is not the token's.
    UnknownBackup,
    /// No such route.
    UnknownRoute,
    /// The route has other methods.
    WrongMethod,
    /// A temporary id cannot be cancelled.
    NoJobYet,
    /// It cannot be read.
    MalformedRequest,
    /// It can be read, and cannot be done.
    InvalidRequest,
    /// The id or the key belongs to another request.
    IdempotencyMismatch,
    /// The body is too large.
    TooLarge,
    /// The body did not arrive, or the answer was not ready, in time.
    TooSlow,
    /// The token's requests come too fast.
    TooManyRequests,
    /// Too many backups are queued or kept.
    Quota,
    /// Another request cancels the same job.
    Busy,
    /// No event stream is left.
    TooManyStreams,
    /// The queue cannot be reached, or the daemon stops.
    Unavailable,
    /// A mistake of the daemon.
    Internal,
}

impl ProblemType {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::CrossSite,
        Self::UnknownBackup,
        Self::UnknownRoute,
        Self::WrongMethod,
        Self::NoJobYet,
        Self::MalformedRequest,
        Self::InvalidRequest,
        Self::IdempotencyMismatch,
        Self::TooLarge,
        Self::TooSlow,
        Self::TooManyRequests,
        Self::Quota,
        Self::Busy,
        Self::TooManyStreams,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The last part of its `type`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::CrossSite => "cross-site",
            Self::UnknownBackup => "unknown-backup",
            Self::UnknownRoute => "unknown-route",
            Self::WrongMethod => "wrong-method",
            Self::NoJobYet => "no-job-yet",
            Self::MalformedRequest => "malformed-request",
            Self::InvalidRequest => "invalid-request",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::TooManyRequests => "too-many-requests",
            Self::Quota => "quota",
            Self::Busy => "busy",
            Self::TooManyStreams => "too-many-streams",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The answer's status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::UnknownBackup | Self::UnknownRoute => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoJobYet => StatusCode::CONFLICT,
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::InvalidRequest | Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyRequests | Self::Quota => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::TooManyStreams | Self::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A few words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Not signed in",
            Self::Forbidden => "Not allowed",
            Self::CrossSite => "The request comes from another site",
            Self::UnknownBackup => "No such backup",
            Self::UnknownRoute => "No such route",
            Self::WrongMethod => "The route has other methods",
            Self::NoJobYet => "The id is a temporary one",
            Self::MalformedRequest => "The request cannot be read",
            Self::InvalidRequest => "The request is invalid",
            Self::IdempotencyMismatch => "The id or key belongs to another request",
            Self::TooLarge => "The request is too large",
            Self::TooSlow => "The request took too long",
            Self::TooManyRequests => "Too many requests",
            Self::Quota => "Too many backups are queued or kept",
            Self::Busy => "The backup is being cancelled by another request",
            Self::TooManyStreams => "Too many event streams are open",
            Self::Unavailable => "The queue cannot be reached",
            Self::Internal => "The server made a mistake",
        }
    }

    /// After how many seconds asking again may help.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooManyRequests => Some(1),
            Self::Quota => Some(60),
            Self::Busy => Some(2),
            Self::TooManyStreams => Some(30),
            Self::Unavailable => Some(5),
            _ => None,
        }
    }
}

/// The answer to a request that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    kind: ProblemType,
    detail: String,
    hint: Option<String>,
}

/// A problem as JSON: RFC 9457, with `success` and `hint`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always false.
    success: bool,
    /// `urn:pgdumpd:problem:` and a stable word.
    r#type: String,
    /// What kind of problem it is, for people.
    title: &'static str,
    /// The answer's status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// What to do, in full sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<String>,
}

impl Problem {
    /// Of this kind, with what is wrong.
    pub(super) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            hint: None,
        }
    }

    /// Adds advice.
    #[must_use]
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// No such job, or one that its asker may not see: the same words for both.
    pub(super) fn unknown_backup(id: impl std::fmt::Display) -> Self {
        Self::new(
            ProblemType::UnknownBackup,
            format!("there is no backup {id}"),
        )
    }

    /// The queue did not answer.
    pub(super) fn unavailable() -> Self {
        Self::new(ProblemType::Unavailable, "the queue cannot be reached").hint("Ask again later.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { kind, detail, hint } = self;
        let body = ProblemBody {
            success: false,
            r#type: format!("{PREFIX}{}", kind.word()),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail,
            hint,
        };
        let mut response = (kind.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = kind.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if kind == ProblemType::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What is not the asker's doing is logged, and its text is not answered.
impl From<ApplicationError> for Problem {
    fn from(error: ApplicationError) -> Self {
        let client = match error {
            ApplicationError::Client(client) => client,
            ApplicationError::Timeout(limit) => {
                warn!("a request over HTTP failed: the queue did not answer within {limit:?}");
                return Self::unavailable();
            }
        };
        let hint = client.hint().map(str::to_owned);
        let kind = match &client {
            ClientError::Invalid(_) | ClientError::Refused { .. } => ProblemType::InvalidRequest,
            ClientError::IdTaken { .. } => ProblemType::IdempotencyMismatch,
            ClientError::Quota { .. } => ProblemType::Quota,
            ClientError::Busy { .. } => ProblemType::Busy,
            _ => {
                warn!(
                    error = &client as &dyn std::error::Error,
                    "a request over HTTP failed"
                );
                return if client.is_transient() {
                    Self::unavailable()
                } else {
                    Self::new(ProblemType::Internal, "the request failed")
                        .hint("The daemon's log has the cause.")
                };
            }
        };
        let detail = match client {
            ClientError::Invalid(invalid) => invalid.to_string(),
            ClientError::Refused { message, .. }
            | ClientError::Quota { message, .. }
            | ClientError::Busy { message, .. } => message,
            other => other.to_string(),
        };
        Self { kind, detail, hint }
    }
}
