//! `GET overview`: the targets, what runs and what waits, for the operator's page.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use pgdumpd_client::{JobState, MonitoredJob};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Reader, Targets};
use super::answer::{State as StateWord, iso};
use super::events::{self, StatusEvent};
use super::feed::{Feed, Reading, Rounds};
use super::operator::{Job, Kind};
use super::problem::Problem;
use super::service::Service;
use crate::queue::{ApplicationError, Applications, RecentBackup, TargetOverview};
use crate::schedule::{Schedule, Zone};

/// The most jobs of one answer, running and queued together.
const MOST_JOBS: u32 = 100;

/// The targets, what runs, and what waits.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OverviewAnswer {
    /// Always true; a problem has false.
    success: bool,
    /// The database's time.
    #[schema(format = DateTime)]
    now: String,
    /// By name.
    targets: Vec<TargetSummary>,
    /// Those that have run longest first; with `queued`, at most 100.
    running: Vec<Job>,
    /// Those that have waited longest first.
    queued: Vec<QueuedJob>,
    /// How many run in all.
    running_total: i64,
    /// How many are queued in all.
    queued_total: i64,
}

/// A target that a daemon serves, or that has a backup.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetSummary {
    /// Its name.
    target: String,
    /// How many daemons that are alive serve it; with 0, a backup of it waits.
    daemons: i64,
    /// Its schedules: a cron expression and a time zone each.
    schedules: Vec<String>,
    /// When the next of them is due.
    #[schema(required, format = DateTime)]
    next_run_at: Option<String>,
    /// Its newest backup that is in a storage.
    #[schema(required)]
    last_good: Option<GoodBackup>,
    /// Its newest backup that has ended, however.
    #[schema(required)]
    last_ended: Option<EndedBackup>,
    /// Its newest 20 backups that succeeded, the oldest of them first.
    recent: Vec<BackupPoint>,
}

/// A backup that is in a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GoodBackup {
    /// Its job.
    id: String,
    /// When that ended.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// Of the stored object.
    #[schema(required)]
    size_bytes: Option<i64>,
    /// Whether filters left something out.
    is_partial: bool,
    /// The storages that hold it.
    storages: Vec<String>,
}

/// A backup that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndedBackup {
    /// Its job.
    id: String,
    /// How it ended.
    state: StateWord,
    /// When.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// How long a backup took and how large it was.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BackupPoint {
    /// Its job.
    id: String,
    /// When it ended.
    #[schema(format = DateTime)]
    finished_at: String,
    /// Of the attempt that made it.
    #[schema(required)]
    seconds: Option<f64>,
    /// Of the stored object.
    #[schema(required)]
    size_bytes: Option<i64>,
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueuedJob {
    /// The job.
    id: String,
    /// What it does.
    kind: Kind,
    /// The target's name.
    target: String,
    /// Of a copy: the storage that it goes to.
    #[schema(required)]
    copy_to: Option<String>,
    /// 1 is next; 20 means 20 or more; null if it is not due.
    #[schema(required)]
    queue_position: Option<i64>,
    /// Why it does not run yet.
    #[schema(required)]
    waits_because: Option<String>,
    /// Waiting since.
    #[schema(format = DateTime)]
    since: String,
    /// Whether no daemon that is alive can do it.
    unserved: bool,
}

/// The targets, what runs, and what waits
///
/// What the operator's page begins with.
#[utoipa::path(
    get, path = "/overview", operation_id = "overview", tag = "operator",
    responses((status = 200, description = "The targets, what runs, and what waits", body = OverviewAnswer)),
)]
pub(super) async fn overview(
    axum::extract::State(service): axum::extract::State<Arc<Service>>,
    Reader(identity): Reader,
) -> Result<impl IntoResponse, Problem> {
    let targets = identity.targets().map(<[String]>::to_vec);
    let answer = read(&service.shared.applications, targets).await?;
    Ok(([(header::CACHE_CONTROL, "private, no-cache")], Json(answer)))
}

/// Follow the overview
///
/// Server-sent events. Each has the whole overview as its data. The first comes at once, each further one when something
/// has happened, at most one a second.
#[utoipa::path(
    get, path = "/overview/events", operation_id = "overviewEvents", tag = "operator",
    responses((status = 200, description = "The stream", content_type = "text/event-stream", body = StatusEvent)),
)]
pub(super) async fn overview_events(
    State(service): State<Arc<Service>>,
    Reader(identity): Reader,
) -> Result<Response, Problem> {
    let slot = events::slot(&service)?;
    let targets = identity.targets().map(<[String]>::to_vec);
    let first = read(&service.shared.applications, targets.clone()).await?;
    let readings = service.shared.overviews.follow(targets, reading(&first));
    Ok(events::stream(&service, readings, 0, slot))
}

/// Reads for as long as anybody follows.
pub(super) async fn run(feed: &Feed<Targets>, applications: &Applications) {
    let mut rounds = Rounds::default();
    loop {
        let mut failure = None;
        for targets in feed.due(&rounds).await {
            match read_once(applications, targets.clone()).await {
                Ok(answer) => feed.pass(&targets, Some(reading(&answer))),
                Err(error) => failure = Some(error),
            }
        }
        rounds.ended(failure.as_ref());
    }
}

fn reading(answer: &OverviewAnswer) -> Reading {
    let timeless = OverviewAnswer {
        now: String::new(),
        ..answer.clone()
    };
    let text = |answer| serde_json::to_string(answer).expect("an answer is texts and numbers");
    Reading {
        json: text(answer),
        changed_at: 0,
        has_ended: false,
        timeless: text(&timeless),
    }
}

async fn read(applications: &Applications, targets: Targets) -> Result<OverviewAnswer, Problem> {
    Ok(read_once(applications, targets).await?)
}

async fn read_once(
    applications: &Applications,
    targets: Targets,
) -> Result<OverviewAnswer, ApplicationError> {
    let counts = applications.open_counts(targets.clone()).await?;
    let summaries = applications.target_overviews(targets.clone()).await?;
    let open = applications.monitoring(targets, MOST_JOBS).await?;
    let (running, queued): (Vec<_>, Vec<_>) = open
        .into_iter()
        .partition(|job| job.state == JobState::Running);
    let ids: Vec<_> = running.iter().map(|job| job.id).collect();
    let mut running = if ids.is_empty() {
        Vec::new()
    } else {
        applications.statuses(ids.clone()).await?
    };
    // What has ended between the two statements is not running any more.
    running.retain(|job| job.state == JobState::Running);
    running.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
    Ok(OverviewAnswer {
        success: true,
        now: iso(counts.now),
        targets: summaries
            .into_iter()
            .map(|target| TargetSummary::of(target, counts.now))
            .collect(),
        running: running.into_iter().map(Job::for_everybody).collect(),
        queued: queued.into_iter().map(QueuedJob::from).collect(),
        running_total: counts.running,
        queued_total: counts.queued,
    })
}

impl TargetSummary {
    fn of(target: TargetOverview, now: DateTime<Utc>) -> Self {
        let next = target
            .schedules
            .iter()
            .filter_map(|schedule| next_due(schedule, now));
        let last_good = target.good_id.map(|id| GoodBackup {
            id: id.to_string(),
            finished_at: target.good_finished_at.map(iso),
            size_bytes: target.good_size_bytes,
            is_partial: target.good_is_partial.unwrap_or(false),
            storages: target.good_storages,
        });
        let last_state = target.last_state.and_then(|word| word.parse().ok());
        let last_ended = target.last_id.zip(last_state);
        Self {
            next_run_at: next.min().map(iso),
            target: target.target,
            daemons: target.daemons,
            last_good,
            last_ended: last_ended.map(|(id, state): (_, JobState)| EndedBackup {
                id: id.to_string(),
                state: state.into(),
                finished_at: target.last_finished_at.map(iso),
            }),
            recent: target.recent.0.into_iter().map(BackupPoint::from).collect(),
            schedules: target.schedules,
        }
    }
}

/// When a schedule as the queue keeps it is next due; `None` if another version of pgdumpd wrote what this one cannot read.
fn next_due(schedule: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (expression, zone) = schedule.rsplit_once(' ')?;
    let zone: Zone = zone.parse().ok()?;
    Schedule::parse(expression, zone).ok()?.next_due(now)
}

impl From<RecentBackup> for BackupPoint {
    fn from(backup: RecentBackup) -> Self {
        Self {
            id: backup.id.to_string(),
            finished_at: iso(backup.finished_at),
            seconds: backup.seconds,
            size_bytes: backup.size_bytes,
        }
    }
}

impl From<MonitoredJob> for QueuedJob {
    fn from(job: MonitoredJob) -> Self {
        Self {
            id: job.id.to_string(),
            kind: Kind::of(job.kind),
            target: job.target,
            copy_to: job.copy_to,
            queue_position: job.queue_position,
            waits_because: job.waits_because,
            since: iso(job.since),
            unserved: job.unserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_as_the_queue_keeps_it_says_when_it_is_due() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let due = next_due("30 3 * * * Europe/Berlin", now).unwrap();
        assert_eq!(iso(due), "2026-12-02T02:30:00.000000Z");
        assert_eq!(
            next_due("@daily UTC", now).map(iso).as_deref(),
            Some("2026-12-02T00:00:00.000000Z")
        );
        for text in ["", "30 3 * * *", "30 3 * * * Nowhere/Town", "x UTC"] {
            assert_eq!(next_due(text, now), None, "{text}");
        }
    }
}
