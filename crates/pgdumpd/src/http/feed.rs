//! One poll of the queue for all event streams, however many: a job that many follow is read once, and many jobs with
//! one statement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgdumpd_client::JobStatus;
use tokio::sync::{Notify, watch};
use tracing::warn;
use uuid::Uuid;

use super::answer::BackupAnswer;
use super::reads::JOBS_A_STATEMENT;
use crate::queue::Applications;

/// How often what is followed is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// While the queue cannot be read, the interval grows to this many times itself.
const MOST_BACK_OFF: u32 = 10;

/// A job as it was read: made once, for all who follow it.
#[derive(Debug)]
pub(super) struct Reading {
    /// The whole answer, as JSON.
    pub(super) json: String,
    /// When the job last changed: microseconds since 1970, by the database's clock.
    pub(super) changed_at: i64,
    /// Whether the job has ended: it will not change any more.
    pub(super) has_ended: bool,
    timeless: String,
}

impl From<&JobStatus> for Reading {
    fn from(job: &JobStatus) -> Self {
        let answer = BackupAnswer::from(job);
        Self {
            json: serde_json::to_string(&answer).expect("an answer is texts and numbers"),
            changed_at: job.last_update.timestamp_micros(),
            has_ended: job.state.has_ended(),
            timeless: answer.timeless_text(),
        }
    }
}

/// The newest reading; `None` if the job is not there any more.
pub(super) type Readings = watch::Receiver<Option<Arc<Reading>>>;

/// What is followed.
#[derive(Default)]
pub(super) struct Feed {
    followed: Mutex<HashMap<Uuid, watch::Sender<Option<Arc<Reading>>>>>,
    begun: Notify,
}

impl Feed {
    /// Follows a job from this reading on, until the receiver is dropped.
    pub(super) fn follow(&self, id: Uuid, first: Reading) -> Readings {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = followed
            .entry(id)
            .or_insert_with(|| watch::Sender::new(None));
        // The poll may have read a later state since: nobody who follows goes back.
        let is_newer = |last: &Arc<Reading>| last.changed_at > first.changed_at;
        if !readings.borrow().as_ref().is_some_and(is_newer) {
            pass(readings, Some(first));
        }
        self.begun.notify_one();
        readings.subscribe()
    }

    /// Reads for as long as anybody follows anything.
    pub(super) async fn run(&self, applications: Applications) {
        let mut failures: u32 = 0;
        loop {
            let ids = self.followed_ids();
            if ids.is_empty() {
                self.begun.notified().await;
                continue;
            }
            let factor = 2_u32.saturating_pow(failures).min(MOST_BACK_OFF);
            tokio::time::sleep(INTERVAL * factor).await;
            let mut failed = false;
            for some in ids.chunks(JOBS_A_STATEMENT) {
                match applications.statuses(some.to_vec()).await {
                    Ok(jobs) => self.pass(some, &jobs),
                    Err(error) => {
                        // Whoever follows keeps what it has, and hears of the job again when the queue answers.
                        if failures == 0 && !failed {
                            warn!(
                                error = &error as &dyn std::error::Error,
                                "event streams wait for the queue"
                            );
                        }
                        failed = true;
                    }
                }
            }
            failures = if failed {
                failures.saturating_add(1)
            } else {
                0
            };
        }
    }

    /// What somebody still follows.
    fn followed_ids(&self) -> Vec<Uuid> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|_, readings| readings.receiver_count() > 0);
        followed.keys().copied().collect()
    }

    fn pass(&self, ids: &[Uuid], jobs: &[JobStatus]) {
        let jobs: HashMap<Uuid, &JobStatus> = jobs.iter().map(|job| (job.id, job)).collect();
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            if let Some(readings) = followed.get(id) {
                pass(readings, jobs.get(id).map(|job| Reading::from(*job)));
            }
        }
    }
}

/// Wakes those who follow only if something has happened: time alone is not news.
fn pass(readings: &watch::Sender<Option<Arc<Reading>>>, now: Option<Reading>) {
    readings.send_if_modified(|last| {
        let timeless = |reading: &Reading| reading.timeless.clone();
        if last.as_deref().map(timeless) == now.as_ref().map(timeless) {
            return false;
        }
        *last = now.map(Arc::new);
        true
    });
}
