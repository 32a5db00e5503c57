//! `GET events/{id}`: a job's state now, then each change, and `end` when it has ended, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{iter, unfold};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::access::Reader;
use super::answer::BackupAnswer;
use super::feed::{Reading, Readings};
use super::id::PathId;
use super::problem::{Problem, ProblemType};
use super::service::Service;

/// After how long a browser connects again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a silent stream says that it is alive, so that no proxy closes it.
const COMMENT: Duration = Duration::from_secs(15);

/// After this a stream ends, and the browser opens another one, whose token is checked again.
const LONGEST_STREAM: Duration = Duration::from_secs(300);

/// One event of a stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct StatusEvent {
    /// Grows with the job; not there for a temporary id.
    #[schema(nullable = false)]
    id: Option<String>,
    /// `end` for the last one, else `message`.
    #[schema(nullable = false)]
    event: Option<String>,
    /// The whole state, as `status` answers it, as JSON.
    data: String,
    /// Milliseconds after which a browser connects again.
    #[schema(nullable = false)]
    retry: Option<u32>,
}

/// Follow one backup
///
/// Server-sent events. Each event has the whole state as its data, and an `id` that grows with the job. The first comes
/// at once, the last is called `end`. Whoever reconnects after it gets 204, and an `EventSource` then stops.
#[utoipa::path(
    get, path = "/events/{id}", operation_id = "events", tag = "backup",
    params(
        ("id" = String, Path, description = "The backup's id, or a temporary one, whose stream has one event"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received"),
    ),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = StatusEvent),
        (status = 204, description = "The job has ended, and its last event was received"),
    ),
)]
pub(super) async fn events(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
    id: PathId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(uuid) = id.uuid() else {
        return Ok(waiting(id.as_str()));
    };
    let slot = slot(&service)?;
    let job = service.visible(&identity, uuid).await?;
    let last_id = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok())
        .filter(|id| *id >= 0)
        .unwrap_or(0);
    let first = Reading::from(&*job);
    if first.has_ended && last_id >= first.changed_at {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let readings = service.shared.feed.follow(uuid, first);
    Ok(stream(&service, readings, last_id, slot))
}

/// The right to one more stream.
pub(super) fn slot(service: &Service) -> Result<OwnedSemaphorePermit, Problem> {
    let slot = Arc::clone(&service.streams).try_acquire_owned();
    slot.map_err(|_| {
        Problem::new(
            ProblemType::TooManyStreams,
            "this server has no event stream left",
        )
        .hint("Poll the status instead.")
    })
}

/// The stream of what is followed, whose ids are larger than `last_id`.
pub(super) fn stream(
    service: &Service,
    readings: Readings,
    last_id: i64,
    slot: OwnedSemaphorePermit,
) -> Response {
    let follower = Follower {
        readings,
        last_id,
        is_first: true,
        is_over: false,
        ends_at: Instant::now() + LONGEST_STREAM,
        stop: service.stop.clone(),
        _slot: slot,
    };
    let events = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let comments = KeepAlive::new().interval(COMMENT).text("still here");
    uncached(Sse::new(events).keep_alive(comments))
}

/// The stream of an id that has no job yet: one event, after which the browser asks again.
fn waiting(id: &str) -> Response {
    let json = serde_json::to_string(&BackupAnswer::waiting(id)).expect("it is texts and numbers");
    let event = Event::default().retry(RETRY).data(json);
    uncached(Sse::new(iter([Ok::<_, Infallible>(event)])))
}

fn uncached(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    // Or nginx keeps events back until it has a page of them.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Somebody who follows something. A reader that is slow gets the newest state, and none of those before it.
struct Follower {
    readings: Readings,
    last_id: i64,
    is_first: bool,
    is_over: bool,
    ends_at: Instant,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let mut event = Event::default();
        if self.is_first {
            self.is_first = false;
            event = event.retry(RETRY);
        } else {
            tokio::select! {
                changed = self.readings.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = self.stop.cancelled() => return None,
            }
        }
        let reading = self.readings.borrow_and_update().clone()?;
        self.is_over = reading.has_ended;
        // Grows with the row. What changes without it, such as the place in the queue, needs an id of its own.
        self.last_id = reading.changed_at.max(self.last_id.saturating_add(1));
        event = event.id(self.last_id.to_string());
        if reading.has_ended {
            event = event.event("end");
        }
        Some(event.data(&reading.json))
    }
}
