//! Claiming: from a due row to a [`Lease`].

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::connections::Statement;
use super::{ClaimedJob, CopyOrder, EarlierAttempt, Lease, Queue, QueueError, Work};
use crate::spec::SPEC_VERSIONS;

const CLAIM: &str = include_str!("sql/claim.sql");
const NEXT_DUE: &str = include_str!("sql/next_due.sql");
const CLAIM_COPY: &str = include_str!("sql/claim_copy.sql");
const NEXT_DUE_COPY: &str = include_str!("sql/next_due_copy.sql");

/// Jobs considered for each target, priority and role, or for each storage: more where those before turn out to be
/// locked by transactions that have cancelled them and have not ended. A role's quota is less than the last.
const DEPTHS: [i64; 3] = [1, 50, 5_000];

/// How often a claim is tried before another claimer that was faster is left the target.
const TRIES: u32 = 3;

/// How long a claim whose answer was lost may still take effect: the statement's limit, and more.
const UNANSWERED_LIMIT: Duration = Duration::from_secs(120);

/// A claim whose answer was lost: perhaps it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnansweredClaim {
    token: Uuid,
    since: Instant,
}

/// A storage that a daemon has in its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedStorage {
    /// Its name.
    pub name: String,
    /// Its id; `None` if the daemon has not opened it yet.
    pub id: Option<Uuid>,
}

impl Queue {
    /// Claims the best due backup of these targets, or none.
    ///
    /// When the future is dropped or the answer is lost, a job may be claimed that nobody knows of: the next
    /// claim gives it back, or at last the reaper.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(
        &self,
        worker: Uuid,
        targets: &[String],
        lease: Duration,
    ) -> Result<Option<ClaimedJob>, QueueError> {
        self.claim_by(|token, depth| {
            sqlx::query(CLAIM)
                .bind(targets)
                .bind(SPEC_VERSIONS)
                .bind(worker)
                .bind(token)
                .bind(lease.as_secs_f64())
                .bind(depth)
                .bind(self.id())
        })
        .await
    }

    /// Claims the copy that has been due for longest of those that can be made from one of these storages to
    /// another, or none. As [`Queue::claim`] when it is dropped.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_copy(
        &self,
        worker: Uuid,
        storages: &[ServedStorage],
        lease: Duration,
    ) -> Result<Option<ClaimedJob>, QueueError> {
        let names = names_of(storages);
        let ids = ids_of(storages);
        self.claim_by(|token, depth| {
            sqlx::query(CLAIM_COPY)
                .bind(names.clone())
                .bind(ids.clone())
                .bind(worker)
                .bind(token)
                .bind(lease.as_secs_f64())
                .bind(depth)
                .bind(self.id())
        })
        .await
    }

    /// Time until the next backup of these targets is due, zero where one is; `None` if none is queued.
    /// Targets that are busy do not count.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_due(&self, targets: &[String]) -> Result<Option<Duration>, QueueError> {
        self.seconds_until(sqlx::query(NEXT_DUE).bind(targets).bind(SPEC_VERSIONS))
            .await
    }

    /// Time until the next copy to one of these storages is due, zero where one is; `None` if none is queued.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_due_copy(
        &self,
        storages: &[ServedStorage],
    ) -> Result<Option<Duration>, QueueError> {
        self.seconds_until(sqlx::query(NEXT_DUE_COPY).bind(names_of(storages)))
            .await
    }

    async fn seconds_until(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<Duration>, QueueError> {
        let Some(row) = self.inner.connections.fetch_optional(statement).await? else {
            return Ok(None);
        };
        let seconds: Option<f64> = row.try_get("seconds")?;
        Ok(seconds
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
    }

    /// Claims by a statement that is made for a lease token and a depth.
    async fn claim_by<'q>(
        &self,
        statement: impl Fn(Uuid, i64) -> Statement<'q>,
    ) -> Result<Option<ClaimedJob>, QueueError> {
        self.give_back_unanswered_claims().await?;
        let mut tries = 0;
        let mut depths = DEPTHS.iter();
        let mut depth = depths.next();
        while let Some(jobs) = depth {
            match self.try_claim(&statement, *jobs).await {
                Ok(Found::Job(job)) => return Ok(Some(*job)),
                Ok(Found::Nothing) => return Ok(None),
                Ok(Found::Locked) => depth = depths.next(),
                // Two claimers of one target in the same instant meet on the unique index.
                Err(error) if error.is_lost_race() => {
                    tries += 1;
                    if tries == TRIES {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn try_claim<'q>(
        &self,
        statement: &impl Fn(Uuid, i64) -> Statement<'q>,
        depth: i64,
    ) -> Result<Found, QueueError> {
        let mut guard = ClaimGuard::new(self);
        let statement = statement(guard.token, depth);
        let result = self.inner.connections.fetch_optional(statement).await;
        guard.answered = match &result {
            Ok(_) => true,
            Err(error) => error.is_refusal(),
        };
        let Some(row) = result? else {
            return Ok(Found::Nothing);
        };
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            return Ok(Found::Job(Box::new(claimed_job(&row, guard.token)?)));
        }
        Ok(if row.try_get("found_heads")? {
            Found::Locked
        } else {
            Found::Nothing
        })
    }

    async fn give_back_unanswered_claims(&self) -> Result<(), QueueError> {
        let unanswered: Vec<UnansweredClaim> = {
            let mut unanswered = self
                .inner
                .unanswered_claims
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            unanswered.retain(|claim| claim.since.elapsed() < UNANSWERED_LIMIT);
            unanswered.clone()
        };
        for claim in unanswered {
            if self.give_back(claim.token).await? {
                tracing::warn!(lease.token = %claim.token, "gave a job back whose claim was not answered");
                let mut unanswered = self
                    .inner
                    .unanswered_claims
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                unanswered.retain(|other| other.token != claim.token);
            }
        }
        Ok(())
    }
}

enum Found {
    Job(Box<ClaimedJob>),
    /// Jobs are due, but other transactions hold their rows.
    Locked,
    Nothing,
}

/// A claim under way. Dropped before its answer, it is remembered as unanswered.
struct ClaimGuard<'a> {
    queue: &'a Queue,
    token: Uuid,
    answered: bool,
}

impl<'a> ClaimGuard<'a> {
    fn new(queue: &'a Queue) -> Self {
        Self {
            queue,
            token: Uuid::new_v4(),
            answered: false,
        }
    }
}

impl Drop for ClaimGuard<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let claim = UnansweredClaim {
                token: self.token,
                since: Instant::now(),
            };
            let unanswered = &self.queue.inner.unanswered_claims;
            unanswered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(claim);
        }
    }
}

pub(super) fn ids_of(storages: &[ServedStorage]) -> Vec<Option<Uuid>> {
    storages.iter().map(|storage| storage.id).collect()
}

pub(super) fn names_of(storages: &[ServedStorage]) -> Vec<String> {
    storages
        .iter()
        .map(|storage| storage.name.clone())
        .collect()
}

/// What only the claim of a copy answers with.
fn work(row: &PgRow) -> Result<Work, sqlx::Error> {
    match row.try_get("copy_of") {
        Ok(of) => Ok(Work::Copy(CopyOrder {
            of,
            to: row.try_get("copy_to")?,
        })),
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(Work::Backup),
        Err(error) => Err(error),
    }
}

fn claimed_job(row: &PgRow, token: Uuid) -> Result<ClaimedJob, sqlx::Error> {
    let timeout: Option<f64> = row.try_get("timeout_seconds")?;
    let earlier: Json<Vec<EarlierAttempt>> = row.try_get("earlier")?;
    Ok(ClaimedJob {
        lease: Lease {
            job: row.try_get("id")?,
            token,
            attempt: row.try_get("attempt")?,
        },
        work: work(row)?,
        target: row.try_get("target")?,
        spec: row.try_get("spec")?,
        timeout: timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        max_attempts: row.try_get("max_attempts")?,
        rescues: row.try_get("rescues")?,
        requested_by: row.try_get("requested_by")?,
        trace_parent: row.try_get("trace_parent")?,
        claimed_at: row.try_get("claimed_at")?,
        earlier: earlier.0,
    })
}
