//! Clears up after attempts that left no backup and whose jobs have ended: their daemons died, or could not reach
//! target or storage at the end. A job that runs again does so itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::Services;
use crate::job;
use crate::queue::Leftover;
use crate::store::in_time;

/// Attempts cleared in one round; more wait for the next.
const A_ROUND: i64 = 20;
/// What could not be cleared is tried again after this long: its target or its storage is away, or served by
/// another daemon alone.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// How long the clearing of one attempt may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Looks for something to clear every heartbeat, until `rest` is cancelled.
pub(super) async fn run(services: Arc<Services>, rest: CancellationToken) {
    let mut tried: HashMap<Uuid, Instant> = HashMap::new();
    loop {
        tokio::select! {
            () = rest.cancelled() => return,
            () = tokio::time::sleep(services.daemon.heartbeat) => {}
        }
        tried.retain(|_, at| at.elapsed() < TRY_AGAIN);
        tokio::select! {
            () = rest.cancelled() => return,
            () = round(&services, &mut tried) => {}
        }
    }
}

/// May be dropped at any point: each step can be repeated.
async fn round(services: &Services, tried: &mut HashMap<Uuid, Instant>) {
    let served = services.served();
    let targets: Vec<String> = served.targets.keys().cloned().collect();
    let storages: Vec<String> = served.storages.keys().cloned().collect();
    let without: Vec<Uuid> = tried.keys().copied().collect();
    let left = services
        .queue
        .leftovers(&targets, &storages, A_ROUND, &without)
        .await;
    let left = match left {
        Ok(left) => left,
        Err(error) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "the queue cannot be asked what is left of attempts"
            );
            return;
        }
    };
    for Leftover { token, .. } in &left {
        tried.insert(*token, Instant::now());
    }
    for attempt in &left {
        // One storage that hangs must not keep what others hold.
        match in_time(LIMIT, job::clear(attempt, &served)).await {
            Ok(true) => note(services, attempt.token).await,
            Ok(false) => {
                debug!(job.id = %attempt.job, "what an attempt left is for another daemon to clear");
            }
            Err(fault) => warn!(
                job.id = %attempt.job,
                target = attempt.target,
                "what an attempt left could not be cleared: {}",
                fault.report()
            ),
        }
    }
}

async fn note(services: &Services, token: Uuid) {
    if let Err(error) = services.queue.mark_cleared(token).await {
        debug!(
            error = &error as &dyn std::error::Error,
            "that an attempt is cleared could not be noted"
        );
    }
}
