//! What may happen to a request to an object store, in the server's own words, and what it means for a job.

use std::error::Error;
use std::time::Duration;

use object_store::HeaderMap;
use object_store::client::{HttpError, HttpErrorKind};
use serde::Deserialize;

use crate::code::Code;
use crate::fault::Fault;
use crate::store::room::no_room;

/// A server's own words are cut after this many characters.
const LONGEST_TEXT: usize = 300;

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum RequestError {
    #[error(transparent)]
    Refused(#[from] ErrorResponse),
    #[error("no byte was sent or received for {}", humantime::format_duration(*.0))]
    Stalled(Duration),
    /// No connection came about.
    #[error("{0}")]
    Unreachable(String),
    /// No credentials were found.
    #[error("no credentials are configured, and the machine provides none: {0}")]
    NoRole(String),
    /// The connection ended in the middle.
    #[error("{0}")]
    Broken(String),
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server answered {}", self.status_and_message())]
pub(in crate::store) struct ErrorResponse {
    pub(in crate::store) status: u16,
    /// Such as `NoSuchBucket`.
    pub(in crate::store) code: Option<String>,
    message: Option<String>,
    /// How long it wants to be left alone.
    retry_after: Option<Duration>,
}

/// S3's, Google's and Azure's form of an error.
#[derive(Deserialize)]
#[serde(rename = "Error")]
struct ErrorBody {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: Option<String>,
}

/// What a response means, whoever it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorKind {
    /// Not known, or wrong: keys, tokens, signatures.
    Credentials,
    /// Known, and not allowed to.
    Rights,
    /// Our clock and theirs differ.
    Clock,
    Bucket,
    Region,
    /// Busy, or out of order.
    Passing,
    /// The bytes that came are not those that were sent.
    Damaged,
    Full,
    Other,
}

impl ErrorResponse {
    /// From an answer whose status says no. Nothing of its body is kept but code and message: some repeat what was
    /// sent to them.
    pub(in crate::store) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let azure = headers
            .get("x-ms-error-code")
            .and_then(|code| code.to_str().ok());
        let body = parse(body);
        let code = body.as_ref().map(|body| body.code.as_str()).or(azure);
        Self {
            status,
            code: code.map(cut),
            message: body.and_then(|body| body.message).as_deref().map(cut),
            // As seconds: the form with a date nobody uses here.
            retry_after: headers
                .get(http::header::RETRY_AFTER)
                .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
                .map(Duration::from_secs),
        }
    }

    /// From an answer whose status says yes, where its body says no.
    pub(in crate::store) fn in_success(status: u16, body: &[u8]) -> Option<Self> {
        let body = parse(body)?;
        Some(Self {
            status,
            code: Some(cut(&body.code)),
            message: body.message.as_deref().map(cut),
            retry_after: None,
        })
    }

    /// Whether it is the bucket, not an object, that is missing.
    pub(in crate::store) fn is_of_the_bucket(&self) -> bool {
        self.kind() == ErrorKind::Bucket
    }

    /// Whether it is known who asks, and not allowed.
    pub(in crate::store) fn is_of_rights(&self) -> bool {
        self.kind() == ErrorKind::Rights
    }

    /// Whether the same request may be answered otherwise in a moment.
    fn may_pass(&self) -> bool {
        matches!(self.kind(), ErrorKind::Passing | ErrorKind::Damaged)
    }

    fn kind(&self) -> ErrorKind {
        match self.code.as_deref().unwrap_or_default() {
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "AuthenticationFailed"
            | "InvalidAuthenticationInfo"
            | "NoAuthenticationInformation"
            | "InvalidSecurity" => ErrorKind::Credentials,
            // Garage's words for keys that it does not know.
            "AccessDenied"
                if self.message.as_ref().is_some_and(|message| {
                    ["Invalid signature", "No such key"]
                        .iter()
                        .any(|words| message.contains(words))
                }) =>
            {
                ErrorKind::Credentials
            }
            "AccessDenied"
            | "AllAccessDisabled"
            | "AccountProblem"
            | "AuthorizationFailure"
            | "AuthorizationPermissionMismatch"
            | "InsufficientAccountPermissions" => ErrorKind::Rights,
            "RequestTimeTooSkewed" => ErrorKind::Clock,
            "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName" | "ContainerDisabled" => {
                ErrorKind::Bucket
            }
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "InvalidRegion" => ErrorKind::Region,
            "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout"
            | "ServerBusy" | "OperationTimedOut" | "OperationAborted" | "TooManyRequests"
            | "Throttling" => ErrorKind::Passing,
            "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody"
            | "Md5Mismatch"
            | "InvalidDigest" => ErrorKind::Damaged,
            "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" | "InsufficientStorage" => {
                ErrorKind::Full
            }
            _ => match self.status {
                401 => ErrorKind::Credentials,
                403 => ErrorKind::Rights,
                408 | 409 | 429 => ErrorKind::Passing,
                507 => ErrorKind::Full,
                300..=399 => ErrorKind::Region,
                501 => ErrorKind::Other,
                500.. => ErrorKind::Passing,
                _ => ErrorKind::Other,
            },
        }
    }

    fn status_and_message(&self) -> String {
        let mut text = self.status.to_string();
        for words in [&self.code, &self.message].into_iter().flatten() {
            if words.is_empty() {
                continue;
            }
            text.push_str(if text.len() == 3 { " " } else { ": " });
            text.push_str(words);
        }
        text
    }
}

impl From<ErrorResponse> for HttpError {
    fn from(response: ErrorResponse) -> Self {
        // By the kind object_store decides whether to try again.
        let kind = if response.may_pass() {
            HttpErrorKind::Request
        } else {
            HttpErrorKind::Unknown
        };
        Self::new(kind, RequestError::Refused(response))
    }
}

impl RequestError {
    /// The one inside an error of object_store.
    pub(in crate::store) fn inside(error: &object_store::Error) -> Option<&Self> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    /// Whether the same request may succeed in a moment.
    pub(in crate::store) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(response) => response.may_pass(),
            Self::NoRole(_) => false,
            Self::Stalled(_) | Self::Unreachable(_) | Self::Broken(_) => true,
        }
    }

    /// How long the server wants to be left alone.
    pub(in crate::store) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(response) => response.retry_after,
            _ => None,
        }
    }

    /// As a job's row will say it; `what` says what failed, and names the thing.
    pub(in crate::store) fn fault(&self, what: String) -> Fault {
        let fault = match self {
            Self::Refused(response) => response.fault(what),
            Self::Stalled(_) => Fault::transient(Code::StorageStalled, what)
                .hint("Check the server and the network to it: no byte was sent or received."),
            Self::Unreachable(_) => Fault::transient(Code::StorageUnreachable, what).hint(
                "Check whether the server can be reached from here: the storage's endpoint, its port, a firewall. Name a certificate authority that is not known here in ca_file.",
            ),
            Self::NoRole(_) => Fault::transient(Code::StorageDenied, what).hint(
                "Give the storage credentials: access_key_id and secret_access_key for s3://, service_account_file for \
                 gs://, access_key for az://; or give the machine a role.",
            ),
            Self::Broken(_) => Fault::transient(Code::StorageFailed, what),
        };
        fault.caused_by(self.clone())
    }
}

impl ErrorResponse {
    fn fault(&self, what: String) -> Fault {
        match self.kind() {
            ErrorKind::Credentials => Fault::permanent(Code::StorageDenied, what).hint(
                "Correct the storage's credentials: access_key_id and secret_access_key for s3://, access_key for \
                 az://, service_account_file for gs://, or what the environment or the machine's role gives.",
            ),
            ErrorKind::Rights => Fault::permanent(Code::StorageDenied, what).hint(
                "Let these credentials read, write, delete and list below the storage's url; OPERATIONS.md has the \
                 policy.",
            ),
            ErrorKind::Clock => Fault::transient(Code::StorageDenied, what)
                .hint("Correct this host's clock: a signature is valid for minutes only."),
            ErrorKind::Bucket => Fault::permanent(Code::BucketMissing, what).hint(
                "Correct the bucket or container in the storage's url, or create it: pgdumpd does not.",
            ),
            ErrorKind::Region => Fault::permanent(Code::StorageMisdirected, what).hint(
                "Correct the storage's region, or its endpoint: the bucket is elsewhere.",
            ),
            ErrorKind::Full => no_room(what),
            ErrorKind::Passing | ErrorKind::Damaged => Fault::transient(Code::StorageFailed, what),
            // A server says why in its own words; whether it will say so tomorrow, nobody knows.
            ErrorKind::Other => Fault::transient(Code::StorageFailed, what),
        }
    }
}

fn parse(body: &[u8]) -> Option<ErrorBody> {
    let text = std::str::from_utf8(body).ok()?;
    if !text.contains("<Error") {
        return None;
    }
    quick_xml::de::from_str(text.trim_start()).ok()
}

fn cut(words: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    words.trim().chars().take(LONGEST_TEXT).map(plain).collect()
}
