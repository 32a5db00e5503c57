//! Bodies of requests and responses whose bytes are seen to move.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpRequestBody};
use tokio::time::{Instant, Sleep, sleep};

use super::{broken, stalled};
use crate::bandwidth::Bandwidth;
use crate::store::stall::BytesMoved;

/// What is handed to the connection at once: small enough that progress shows on a slow link.
const SLICE: usize = 64 << 10;

/// When a byte of a request last moved.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<(Instant, bool)>);

impl Pulse {
    pub(super) fn new(sent: bool) -> Self {
        Self(Mutex::new((Instant::now(), sent)))
    }

    /// The time, and whether all has been sent.
    pub(super) fn last(&self) -> (Instant, bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self, at: Instant, sent: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (at, sent);
    }
}

/// A request's body, in slices, each when the bandwidth allows it.
pub(super) struct Paced {
    body: HttpRequestBody,
    current: Bytes,
    left: u64,
    bandwidth: Option<Bandwidth>,
    /// Until the next slice, which is reserved then, may go.
    waiting: Option<Pin<Box<Sleep>>>,
    pulse: Arc<Pulse>,
    moved: BytesMoved,
}

impl Paced {
    pub(super) fn new(
        body: HttpRequestBody,
        bandwidth: Option<Bandwidth>,
        pulse: Arc<Pulse>,
        moved: BytesMoved,
    ) -> Self {
        Self {
            left: body.content_length() as u64,
            body,
            current: Bytes::new(),
            bandwidth,
            waiting: None,
            pulse,
            moved,
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        while this.current.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(frame) => this.current = frame?.into_data().unwrap_or_default(),
                None => return Poll::Ready(None),
            }
        }
        let size = SLICE.min(this.current.len());
        if let (Some(bandwidth), None) = (&this.bandwidth, &this.waiting) {
            let wait = bandwidth.take(size as u64);
            // Waiting for its turn is not a stall.
            this.pulse.beat(Instant::now() + wait, false);
            this.waiting = Some(Box::pin(sleep(wait)));
        }
        if let Some(waiting) = &mut this.waiting {
            ready!(waiting.as_mut().poll(context));
            this.waiting = None;
        }
        let slice = this.current.split_to(size);
        this.left = this.left.saturating_sub(size as u64);
        this.moved.add(size as u64);
        this.pulse.beat(Instant::now(), this.left == 0);
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A response's body, which must make progress while it is waited for. A reader may take its time.
pub(super) struct Watched {
    body: reqwest::Body,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(body: reqwest::Body, limit: Duration) -> Self {
        Self {
            body,
            limit,
            waiting: None,
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let limit = this.limit;
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Some(Err(stalled(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
