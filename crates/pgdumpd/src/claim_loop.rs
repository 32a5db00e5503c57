//! Claims jobs while there is room for them, and runs each to its end.
//!
//! Polling is the truth; a notification, a job's end or a job that falls due only shorten the wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::daemon::{Pulse, Services};
use crate::job;
use crate::lifecycle::Lifecycle;

/// A claim that is not answered by then has failed; the lease of what it may have claimed will expire.
const CLAIM_PATIENCE: Duration = Duration::from_secs(20);
/// After a job that could not be claimed because two daemons met: try again at once, this often.
const RUNS_OF_CLAIMS: usize = 1000;

/// Runs until the drain is asked for and every job has ended.
pub async fn run(services: Arc<Services>, lifecycle: Lifecycle, pulse: Arc<Pulse>) {
    let mut jobs = JoinSet::new();
    let mut hints = services.hints();
    let mut outage = false;
    while !lifecycle.drain.is_cancelled() {
        pulse.beat();
        services.set_running(jobs.len());
        hints.mark_unchanged();
        match claim_all(&services, &lifecycle, &mut jobs, &pulse).await {
            Ok(()) => outage = false,
            Err(reason) => {
                if !outage {
                    warn!(reason, "the queue cannot be asked for work; trying again");
                }
                outage = true;
            }
        }
        let wait = if outage {
            services.daemon.poll_interval
        } else {
            pulse.beat_through(next_look(&services)).await
        };
        tokio::select! {
            () = lifecycle.drain.cancelled() => {}
            () = pulse.beat_through(tokio::time::sleep(wait)) => {}
            () = hinted(&mut hints) => {}
            Some(ended) = jobs.join_next() => report_panic(ended),
        }
    }
    drain(&mut jobs, &pulse).await;
}

async fn claim_all(
    services: &Arc<Services>,
    lifecycle: &Lifecycle,
    jobs: &mut JoinSet<()>,
    pulse: &Pulse,
) -> Result<(), String> {
    for _ in 0..RUNS_OF_CLAIMS {
        while let Some(ended) = jobs.try_join_next() {
            report_panic(ended);
        }
        if jobs.len() >= services.daemon.max_jobs || lifecycle.drain.is_cancelled() {
            return Ok(());
        }
        let served = services.served();
        let targets: Vec<String> = served.targets.keys().cloned().collect();
        if targets.is_empty() {
            return Ok(());
        }
        let sent = Instant::now();
        let claim = services
            .queue
            .claim(services.worker.id, &targets, services.daemon.lease);
        let claimed = pulse
            .beat_through(tokio::time::timeout(CLAIM_PATIENCE, claim))
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| crate::fault::chain(&error))?;
        let Some(claimed) = claimed else {
            return Ok(());
        };
        let services = Arc::clone(services);
        let halt = lifecycle.halt.clone();
        let running = Arc::clone(&services);
        jobs.spawn(async move { job::run(&services, &served, claimed, sent, halt).await });
        running.set_running(jobs.len());
    }
    Ok(())
}

/// How long until the queue should be asked again: the poll interval with jitter, less where a job falls due.
async fn next_look(services: &Services) -> Duration {
    let poll = services
        .daemon
        .poll_interval
        .mul_f64(rand::random_range(0.75..1.25));
    let targets: Vec<String> = services.served().targets.keys().cloned().collect();
    let due = tokio::time::timeout(CLAIM_PATIENCE, services.queue.next_due(&targets)).await;
    match due {
        // A job that is due and yet was not claimed waits for another: do not spin on it.
        Ok(Ok(Some(due))) if !due.is_zero() => poll.min(due),
        _ => poll,
    }
}

async fn drain(jobs: &mut JoinSet<()>, pulse: &Pulse) {
    loop {
        pulse.beat();
        tokio::select! {
            ended = jobs.join_next() => match ended {
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

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a job's task panicked: its lease will expire and another daemon will take it");
    }
}
