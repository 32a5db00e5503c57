//! One poll of the queue for all event streams, however many: a job that many follow is read once, and many jobs with
//! one statement.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgdumpd_client::JobStatus;
use tokio::sync::{Notify, watch};
use tracing::warn;
use uuid::Uuid;

use super::answer::BackupAnswer;
use super::reads::JOBS_A_STATEMENT;
use crate::queue::{ApplicationError, Applications};

/// How often what is followed is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// While the queue cannot be read, the interval grows to this many times itself.
const MOST_BACK_OFF: u32 = 10;

/// Something as it was read, such as a job: made once, for all who follow it.
#[derive(Debug)]
pub(super) struct Reading {
    /// The whole answer, as JSON.
    pub(super) json: String,
    /// When it last changed: microseconds since 1970, by the database's clock; 0 if nobody knows.
    pub(super) changed_at: i64,
    /// Whether it will not change any more.
    pub(super) has_ended: bool,
    /// Everything that does not change by itself as time passes.
    pub(super) timeless: String,
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

/// The newest reading; `None` if it is not there any more.
pub(super) type Readings = watch::Receiver<Option<Arc<Reading>>>;

/// How the last reads went.
#[derive(Default)]
pub(super) struct Rounds {
    failures: u32,
}

impl Rounds {
    /// A round has ended. Whoever follows keeps what it has, and hears of it again when the queue answers.
    pub(super) fn ended(&mut self, failure: Option<&ApplicationError>) {
        let Some(error) = failure else {
            self.failures = 0;
            return;
        };
        if self.failures == 0 {
            warn!(
                error = error as &dyn std::error::Error,
                "event streams wait for the queue"
            );
        }
        self.failures = self.failures.saturating_add(1);
    }
}

/// What is followed, by what it is followed as.
pub(super) struct Feed<K> {
    followed: Mutex<HashMap<K, watch::Sender<Option<Arc<Reading>>>>>,
    begun: Notify,
}

impl<K> Default for Feed<K> {
    fn default() -> Self {
        Self {
            followed: Mutex::default(),
            begun: Notify::default(),
        }
    }
}

impl<K: Clone + Eq + Hash> Feed<K> {
    /// Follows something from this reading on, until the receiver is dropped.
    pub(super) fn follow(&self, key: K, first: Reading) -> Readings {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let readings = followed
            .entry(key)
            .or_insert_with(|| watch::Sender::new(None));
        // The poll may have read a later state since: nobody who follows goes back.
        let is_newer = |last: &Arc<Reading>| last.changed_at > first.changed_at;
        if !readings.borrow().as_ref().is_some_and(is_newer) {
            pass(readings, Some(first));
        }
        self.begun.notify_one();
        readings.subscribe()
    }

    /// Waits until it is time to read again, and returns what somebody follows.
    pub(super) async fn due(&self, rounds: &Rounds) -> Vec<K> {
        loop {
            if self.followed().is_empty() {
                self.begun.notified().await;
                continue;
            }
            let factor = 2_u32.saturating_pow(rounds.failures).min(MOST_BACK_OFF);
            tokio::time::sleep(INTERVAL * factor).await;
            return self.followed();
        }
    }

    /// Passes a reading on to those who follow it; `None` if it is not there any more.
    pub(super) fn pass(&self, key: &K, now: Option<Reading>) {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(readings) = followed.get(key) {
            pass(readings, now);
        }
    }

    /// What somebody still follows.
    fn followed(&self) -> Vec<K> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|_, readings| readings.receiver_count() > 0);
        followed.keys().cloned().collect()
    }
}

impl Feed<Uuid> {
    /// Reads the jobs that are followed, for as long as there are any.
    pub(super) async fn run(&self, applications: &Applications) {
        let mut rounds = Rounds::default();
        loop {
            let ids = self.due(&rounds).await;
            let mut failure = None;
            for some in ids.chunks(JOBS_A_STATEMENT) {
                match applications.statuses(some.to_vec()).await {
                    Ok(jobs) => self.pass_jobs(some, &jobs),
                    Err(error) => failure = Some(error),
                }
            }
            rounds.ended(failure.as_ref());
        }
    }

    fn pass_jobs(&self, ids: &[Uuid], jobs: &[JobStatus]) {
        let jobs: HashMap<Uuid, &JobStatus> = jobs.iter().map(|job| (job.id, job)).collect();
        for id in ids {
            self.pass(id, jobs.get(id).map(|job| Reading::from(*job)));
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
