//! `GET /metrics`: what this process counts and what the queue knows, in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

use super::access::{Identity, Scraper};
use super::problem::{Problem, ProblemType};
use super::service::Service;
use crate::metrics::{self, Counters, Figures};
use crate::queue::{JobMetrics, QueueMetrics, StorageMetrics, TargetMetrics};

/// Metrics for Prometheus
///
/// With a token of some targets, these targets' series alone.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "monitoring",
    responses((status = 200, description = "Prometheus' text format, version 0.0.4", content_type = "text/plain", body = String)),
)]
pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
    Scraper(identity): Scraper,
) -> Result<impl IntoResponse, Problem> {
    let shared = &service.shared;
    let queue = shared.metrics.get(&shared.applications).await;
    let text = written(&shared.counters, queue.as_deref(), &identity);
    let text =
        text.map_err(|_| Problem::new(ProblemType::Internal, "the metrics cannot be written"))?;
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    Ok((headers, text))
}

fn written(
    counters: &Counters,
    queue: Option<&QueueMetrics>,
    identity: &Identity,
) -> Result<String, std::fmt::Error> {
    let sees_all = identity.targets().is_none();
    let mut figures = Figures::default();
    if let Some(queue) = queue {
        for target in &queue.targets {
            if identity.may_use(&target.target) {
                add_target(&mut figures, target);
            }
        }
        if sees_all {
            add_queue(&mut figures, queue);
        }
    }
    for (target, limit) in counters.alert_after() {
        if identity.may_use(&target) {
            let limit = Some(limit.as_secs_f64());
            figures.set(&metrics::TARGET_ALERT_AFTER, [&target], limit);
        }
    }
    let up = f64::from(u8::from(queue.is_some()));
    figures.set(&metrics::QUEUE_UP, [], Some(up));
    let version = env!("CARGO_PKG_VERSION");
    figures.set(&metrics::BUILD_INFO, [version], Some(1.0));
    let mut text = String::new();
    figures.write(&mut text)?;
    if sees_all {
        counters.write(&mut text)?;
    }
    Ok(text)
}

fn add_target(figures: &mut Figures, known: &TargetMetrics) {
    let target = known.target.as_str();
    let success = known.last_success_at.map(seconds);
    figures.set(&metrics::TARGET_LAST_SUCCESS, [target], success);
    let failure = known.last_failure_at.map(seconds);
    figures.set(&metrics::TARGET_LAST_FAILURE, [target], failure);
    let proved = known.last_proved_at.map(seconds);
    figures.set(&metrics::TARGET_LAST_PROVED, [target], proved);
    let size = known.last_size_bytes.map(number);
    figures.set(&metrics::TARGET_LAST_SIZE, [target], size);
    figures.set(&metrics::TARGET_LAST_DURATION, [target], known.last_seconds);
    let jobs = [
        ("queued", known.queued_jobs),
        ("running", known.running_jobs),
    ];
    for (state, count) in jobs {
        figures.set(&metrics::TARGET_JOBS, [target, state], Some(number(count)));
    }
    let daemons = Some(number(known.daemons));
    figures.set(&metrics::TARGET_DAEMONS, [target], daemons);
}

fn add_queue(figures: &mut Figures, queue: &QueueMetrics) {
    for JobMetrics {
        kind,
        state,
        jobs,
        oldest_due_at,
    } in &queue.jobs
    {
        figures.set(&metrics::JOBS, [kind, state], Some(number(*jobs)));
        if state == "queued" {
            let since = oldest_due_at.map(seconds);
            figures.set(&metrics::JOBS_OLDEST_DUE, [kind], since);
        }
    }
    for StorageMetrics {
        storage,
        backups,
        stored_bytes,
    } in &queue.storages
    {
        let held = Some(number(*backups));
        figures.set(&metrics::STORAGE_BACKUPS, [storage], held);
        let bytes = Some(number(*stored_bytes));
        figures.set(&metrics::STORAGE_STORED_BYTES, [storage], bytes);
    }
    for (state, count) in &queue.daemons {
        figures.set(&metrics::DAEMONS, [state], Some(number(*count)));
    }
}

fn seconds(at: DateTime<Utc>) -> f64 {
    number(at.timestamp_micros()) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "2^53 of anything is enough")]
fn number(count: i64) -> f64 {
    count as f64
}
