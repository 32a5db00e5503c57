//! `GET status/{id}`: one backup.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::access::Reader;
use super::answer::BackupAnswer;
use super::id::PathId;
use super::problem::Problem;
use super::service::Service;
use crate::hex::hex;

/// See one backup
///
/// An id that is not a UUID, such as one that a page has invented while it waits for the real one, is answered as a
/// backup that waits to start. The ETag stays the same for as long as nothing happens.
#[utoipa::path(
    get, path = "/status/{id}", operation_id = "status", tag = "backup",
    params(
        ("id" = String, Path, description = "The backup's id, or a temporary one"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The backup", body = BackupAnswer, headers(
            ("ETag" = String, description = "Of everything but the times that pass"),
            ("Retry-After" = u32, description = "After how many seconds to ask again; not there if the job has ended"),
        )),
        (status = 304, description = "Nothing has happened since the answer with this ETag"),
    ),
)]
pub(super) async fn status(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    id: PathId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = match id.uuid() {
        Some(id) => BackupAnswer::from(&*service.visible(&identity, id).await?),
        None => BackupAnswer::waiting(id.as_str()),
    };
    let tag = etag(&answer);
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == tag || known.trim() == "*");
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(&answer).into_response()
    };
    for (name, value) in common_headers(&answer) {
        response.headers_mut().insert(name, value);
    }
    let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes");
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// Of every answer about one backup.
pub(super) fn common_headers(
    answer: &BackupAnswer,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let retry_after = answer.retry_after().map(HeaderValue::from);
    let uncached = HeaderValue::from_static("private, no-cache");
    [(header::CACHE_CONTROL, uncached)]
        .into_iter()
        .chain(retry_after.map(|seconds| (header::RETRY_AFTER, seconds)))
}

fn etag(answer: &BackupAnswer) -> String {
    let hash = Sha256::digest(answer.timeless_text().as_bytes());
    format!("W/\"{}\"", hex(&hash[..16]))
}
