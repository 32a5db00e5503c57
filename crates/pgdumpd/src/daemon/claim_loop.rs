//! Claims jobs while there is room for them, and runs each to its end.
//!
//! Polling is the truth; a notification, a job's end or a job that falls due only shorten the wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, warn};

use super::watchdog::Pulse;
use crate::context::{Catalog, Services};
use crate::job;
use crate::lifecycle::Lifecycle;
use crate::queue::{ClaimedJob, QueueError};

/// A claim that is not answered by then has failed; the lease of what it may have claimed will expire.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(20);
/// How many backups, and then how many copies, one round claims at most.
const RUNS_OF_CLAIMS: usize = 1000;

/// Why no job could be claimed.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    reason: String,
    /// The server refuses to claim the job that comes next, which stands before all others.
    refused: bool,
}

impl Trouble {
    fn log(&self) {
        let reason = &self.reason;
        if self.refused {
            error!(
                reason,
                "the queue refuses a claim, which blocks those behind it; trying again"
            );
        } else {
            warn!(reason, "the queue cannot be queried for jobs; trying again");
        }
    }
}

/// What runs. Each kind has its own limit, so that copies to a storage that hangs take no slot from backups.
#[derive(Default)]
struct Running {
    backups: JoinSet<()>,
    copies: JoinSet<()>,
}

impl Running {
    fn reap(&mut self) {
        for jobs in [&mut self.backups, &mut self.copies] {
            while let Some(ended) = jobs.try_join_next() {
                report_panic(ended);
            }
        }
    }

    /// Waits for the end of any; `None` if nothing runs.
    async fn join_next(&mut self) -> Option<Result<(), JoinError>> {
        tokio::select! {
            Some(ended) = self.backups.join_next() => Some(ended),
            Some(ended) = self.copies.join_next() => Some(ended),
            else => None,
        }
    }

    fn publish_counts(&self, services: &Services) {
        services.set_running(self.backups.len(), self.copies.len());
    }
}

/// Runs until the drain is asked for and every job has ended.
pub(super) async fn run(services: Arc<Services>, lifecycle: Lifecycle, pulse: Arc<Pulse>) {
    let mut running = Running::default();
    let mut hints = services.hints();
    let mut outage: Option<Trouble> = None;
    while !lifecycle.drain.is_cancelled() {
        pulse.beat();
        running.publish_counts(&services);
        hints.mark_unchanged();
        match claim_all(&services, &lifecycle, &mut running, &pulse).await {
            Ok(()) => outage = None,
            Err(trouble) => {
                services.counters.claim_failed();
                if outage.as_ref() != Some(&trouble) {
                    trouble.log();
                }
                outage = Some(trouble);
            }
        }
        let wait = if outage.is_some() {
            services.daemon.poll_interval
        } else {
            pulse.beat_through(next_look(&services)).await
        };
        tokio::select! {
            () = lifecycle.drain.cancelled() => {}
            () = pulse.beat_through(tokio::time::sleep(wait)) => {}
            () = hinted(&mut hints) => {}
            Some(ended) = running.join_next() => report_panic(ended),
        }
    }
    drain(&mut running, &pulse).await;
}

/// Claims backups, then copies, for as long as there are any and there is room.
async fn claim_all(
    services: &Arc<Services>,
    lifecycle: &Lifecycle,
    running: &mut Running,
    pulse: &Pulse,
) -> Result<(), Trouble> {
    for _ in 0..RUNS_OF_CLAIMS {
        running.reap();
        if running.backups.len() >= services.daemon.max_jobs || lifecycle.drain.is_cancelled() {
            break;
        }
        let catalog = services.catalog();
        let targets: Vec<String> = catalog.targets.keys().cloned().collect();
        if targets.is_empty() {
            break;
        }
        let sent = Instant::now();
        let claim = services
            .queue
            .claim(services.worker.id, &targets, services.daemon.lease);
        let Some(job) = answered(claim, pulse).await? else {
            break;
        };
        start(
            &mut running.backups,
            services,
            lifecycle,
            catalog,
            job,
            sent,
        );
        running.publish_counts(services);
    }
    for _ in 0..RUNS_OF_CLAIMS {
        running.reap();
        if running.copies.len() >= services.daemon.max_copies || lifecycle.drain.is_cancelled() {
            break;
        }
        let catalog = services.catalog();
        let storages = catalog.storages_for_copies();
        let sent = Instant::now();
        let claim = services
            .queue
            .claim_copy(services.worker.id, &storages, services.daemon.lease);
        let Some(job) = answered(claim, pulse).await? else {
            break;
        };
        start(&mut running.copies, services, lifecycle, catalog, job, sent);
        running.publish_counts(services);
    }
    Ok(())
}

async fn answered(
    claim: impl Future<Output = Result<Option<ClaimedJob>, QueueError>>,
    pulse: &Pulse,
) -> Result<Option<ClaimedJob>, Trouble> {
    pulse
        .beat_through(tokio::time::timeout(CLAIM_TIMEOUT, claim))
        .await
        .map_err(|_| Trouble {
            reason: "no answer in time".to_owned(),
            refused: false,
        })?
        .map_err(|error| Trouble {
            reason: crate::fault::chain(&error),
            refused: error.refuses_a_value(),
        })
}

fn start(
    jobs: &mut JoinSet<()>,
    services: &Arc<Services>,
    lifecycle: &Lifecycle,
    catalog: Arc<Catalog>,
    job: ClaimedJob,
    sent: Instant,
) {
    services.counters.claimed(job.work.word());
    let (services, lifecycle) = (Arc::clone(services), lifecycle.clone());
    jobs.spawn(async move { job::run(&services, &catalog, job, sent, lifecycle).await });
}

/// How long until the queue should be asked again: the poll interval with jitter, less where a job falls due.
async fn next_look(services: &Services) -> Duration {
    let poll = services
        .daemon
        .poll_interval
        .mul_f64(rand::random_range(0.75..1.25));
    let catalog = services.catalog();
    let targets: Vec<String> = catalog.targets.keys().cloned().collect();
    let storages = catalog.storages_for_copies();
    let due = async {
        let backup = services.queue.next_due(&targets).await?;
        let copy = services.queue.next_due_copy(&storages).await?;
        // A job that is due and yet was not claimed waits for another: do not spin on it.
        let coming = [backup, copy].into_iter().flatten();
        Ok::<_, QueueError>(coming.filter(|due| !due.is_zero()).min())
    };
    match tokio::time::timeout(CLAIM_TIMEOUT, due).await {
        Ok(Ok(Some(due))) => poll.min(due),
        _ => poll,
    }
}

async fn drain(running: &mut Running, pulse: &Pulse) {
    loop {
        pulse.beat();
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(ended) => report_panic(ended),
                None => return,
            },
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn hinted(hints: &mut watch::Receiver<u64>) {
    if hints.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a job's task panicked: its lease will expire and another daemon will take it");
    }
}
