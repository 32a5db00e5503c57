//! Following one job to its end.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use uuid::Uuid;

use crate::error::ClientError;
use crate::sql;
use crate::status::{JobStatus, status};

/// Keeps sums of instants in range.
const LONGEST_POLL: Duration = Duration::from_secs(24 * 60 * 60);
/// After a LISTEN that failed, polling alone is used for so long.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// A LISTEN that takes longer than this is not worth the wait: the first status is due now.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);

/// From a status to one that a notification asks for: any role may notify, as often as it likes.
const SPACING: Duration = Duration::from_millis(100);

/// Follows a job: [`Watch::next`] gives its status now, and then each change until it ends.
///
/// Nothing is asked of the database before the first `next`. Statuses are read through the pool. Beside it
/// a watch listens for notifications on one connection of its own, opened with the pool's options, so that
/// a change of state shows at once; progress shows at the next poll. Where that connection or LISTEN is
/// refused, or notifications do not arrive, polling alone serves.
pub fn watch(pool: &PgPool, id: Uuid) -> Watch {
    Watch {
        pool: pool.clone(),
        id,
        poll_interval: Duration::from_secs(1),
        patience: Duration::from_secs(60),
        listen: true,
        listener: None,
        listen_after: Instant::now(),
        ask_at: Instant::now(),
        heed_at: Instant::now(),
        last: None,
        over: false,
    }
}

/// See [`watch`].
#[derive(Debug)]
#[must_use = "a watch does nothing until `next` or `end` is awaited"]
pub struct Watch {
    pool: PgPool,
    id: Uuid,
    poll_interval: Duration,
    patience: Duration,
    listen: bool,
    listener: Option<PgListener>,
    listen_after: Instant,
    /// When the next status is due. Outlives a `next` that is dropped, as what it had learned must.
    ask_at: Instant,
    /// The soonest that a notification can make it due.
    heed_at: Instant,
    last: Option<JobStatus>,
    over: bool,
}

impl Watch {
    /// Asks at least so often; every second by default, once a day at least.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_interval = interval.min(LONGEST_POLL);
        self
    }

    /// Polls only. For connections through a transaction pooler, where LISTEN reaches nobody.
    pub fn without_listen(mut self) -> Self {
        self.listen = false;
        self
    }

    /// Once a status was seen, bears a lost connection or a server that restarts for so long; a minute by
    /// default. Within it the watch asks again; after it `next` gives the error.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The next status that differs from the one before (the time that passed aside): first the present
    /// one, last the one that says how the job ended. None after that, and at once where no job of this id
    /// is visible to the session's user, or no longer is.
    ///
    /// The future may be dropped: no change is lost, and the next call continues.
    ///
    /// # Errors
    /// See [`ClientError`]. The watch can continue after an error.
    pub async fn next(&mut self) -> Result<Option<JobStatus>, ClientError> {
        while !self.over {
            self.listen().await;
            self.wait().await;
            let answer = self.ask().await;
            self.ask_at = Instant::now() + self.poll_interval;
            self.heed_at = Instant::now() + SPACING;
            let Some(now) = answer? else {
                self.over = true;
                return Ok(None);
            };
            self.over = now.state.has_ended();
            if !self
                .last
                .as_ref()
                .is_some_and(|last| now.is_as_before(last))
            {
                self.last = Some(now.clone());
                return Ok(Some(now));
            }
        }
        Ok(None)
    }

    /// Waits until the job has ended, and gives its last status. None: no job of this id is visible to the
    /// session's user, or no longer is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn end(mut self) -> Result<Option<JobStatus>, ClientError> {
        while self.next().await?.is_some() {}
        Ok(self.last.filter(|last| last.state.has_ended()))
    }

    /// Waits until the next status is due. A notification makes it due now, or soon after the one before.
    async fn wait(&mut self) {
        while self.ask_at > Instant::now() {
            let ask_at = tokio::time::Instant::from_std(self.ask_at);
            let Some(listener) = &mut self.listener else {
                tokio::time::sleep_until(ask_at).await;
                return;
            };
            match tokio::time::timeout_at(ask_at, listener.try_recv()).await {
                // Those that follow are read meanwhile, and are not a further reason to ask.
                Ok(Ok(Some(_))) => {
                    let soonest = self.heed_at.max(Instant::now());
                    self.ask_at = self.ask_at.min(soonest);
                }
                // The connection is lost: what it would have reported may have happened already.
                Ok(Ok(None) | Err(_)) => {
                    self.listener = None;
                    self.ask_at = Instant::now();
                }
                Err(_due) => return,
            }
        }
    }

    /// Listens, if it does not yet.
    async fn listen(&mut self) {
        if !self.listen || self.listener.is_some() || Instant::now() < self.listen_after {
            return;
        }
        // However this ends, also by being dropped: not again soon.
        self.listen_after = Instant::now() + LISTEN_AGAIN;
        let listener = tokio::time::timeout(LISTEN_TIMEOUT, open_listener(&self.pool)).await;
        self.listener = listener.ok().and_then(Result::ok);
        // Changes from before it listened are not reported.
        self.ask_at = Instant::now();
    }

    /// In a transaction: sqlx prepares and executes in two round trips, between which a pooler gives the session to others,
    /// who prepare theirs.
    async fn ask_once(&self) -> Result<Option<JobStatus>, ClientError> {
        let mut transaction = self.pool.begin().await?;
        let answer = status(&mut *transaction, self.id).await?;
        transaction.commit().await?;
        Ok(answer)
    }

    async fn ask(&self) -> Result<Option<JobStatus>, ClientError> {
        let asked_at = Instant::now();
        loop {
            match self.ask_once().await {
                Err(error)
                    if error.is_transient()
                        && self.last.is_some()
                        && asked_at.elapsed() < self.patience =>
                {
                    tokio::time::sleep(self.poll_interval).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Opens a connection outside of the caller's pool: a watch lasts as long as a backup, and a few of them
/// would leave that pool nothing for the application.
async fn open_listener(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let options = pool.connect_options().as_ref().clone();
    let own_pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&own_pool).await?;
    // A loss is reported, and the watch decides when to listen again.
    listener.eager_reconnect(false);
    listener.listen(sql::STATUS_CHANNEL).await?;
    Ok(listener)
}
