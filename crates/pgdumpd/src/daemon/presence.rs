//! The daemon's presence in the queue, and the reaper that depends on it.
//!
//! Only a daemon that has itself written to the queue without interruption for one whole lease takes jobs
//! from others: after an outage of the queue, the owners of the running jobs come first. And a daemon whose
//! address leads to another queue than it began with (a failover, a clone, a name that moved) has no business there.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::differences::Differences;
use super::{Pulse, Services, target_settings};
use crate::lifecycle::{Lifecycle, tell_systemd};
use crate::queue::QueueError;
use sd_notify::NotifyState;

/// A write that is not answered by then counts as an interruption.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often daemons that are long gone are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Renews the daemon's row and reaps, every heartbeat, until `rest` is cancelled.
///
/// # Errors
/// The queue is another one by now: the daemon was told to stop everything, and has.
pub(super) async fn run(
    services: Arc<Services>,
    lifecycle: Lifecycle,
    pulse: Arc<Pulse>,
    rest: CancellationToken,
) -> Result<(), QueueError> {
    let drain = &lifecycle.drain;
    let tick = services.daemon.heartbeat;
    let mut writing = Uninterrupted::new(services.daemon.lease);
    let mut pruned: Option<Instant> = None;
    let mut said = (0, 0);
    let mut differences = Differences::default();
    let mut reloads = services.served_changes();
    loop {
        match pulse
            .beat_through(register(&services, drain.is_cancelled()))
            .await
        {
            Ok(now) => {
                let reaps = writing.succeeded(now);
                pulse.beat_through(tidy(&services, reaps)).await;
                pulse.beat_through(differences.tell(&services)).await;
                if pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
                    pulse.beat_through(prune(&services)).await;
                    pruned = Some(Instant::now());
                }
            }
            Err(replaced @ QueueError::Replaced { .. }) => {
                error!(
                    error = &replaced as &dyn std::error::Error,
                    "stopping at once: what runs belongs to another queue"
                );
                lifecycle.stop_at_once();
                pulse.beat_through(rest.cancelled()).await;
                return Err(replaced);
            }
            Err(_) => writing.interrupted(),
        }
        let running = services.running();
        if running != said && !drain.is_cancelled() {
            said = running;
            let (backups, copies) = running;
            let mut text = format!("{backups} of {} jobs running", services.daemon.max_jobs);
            if copies > 0 {
                text.push_str(&format!(
                    ", and {copies} of {} copies",
                    services.daemon.max_copies
                ));
            }
            tell_systemd(&[NotifyState::Status(&text)]);
        }
        tokio::select! {
            () = rest.cancelled() => return Ok(()),
            () = pulse.beat_through(tokio::time::sleep(tick)) => {}
            // What targets mean from now on is shown at once.
            Ok(()) = reloads.changed() => {}
        }
    }
}

/// Writes the daemon's row; gives the database's time.
pub(super) async fn register(
    services: &Services,
    draining: bool,
) -> Result<DateTime<Utc>, QueueError> {
    let served = services.served();
    let targets: Vec<String> = served.targets.keys().cloned().collect();
    let storages = served.storages_for_copies();
    let settings = target_settings::of(&served);
    let register =
        services
            .queue
            .register(&services.worker, &targets, &storages, &settings, draining);
    match tokio::time::timeout(PATIENCE, register).await {
        Ok(registered) => registered,
        Err(_) => Err(QueueError::Timeout(PATIENCE)),
    }
}

/// Takes back what the daemons that are gone have left, where this one may; else only ends what is cancelled.
async fn tidy(services: &Services, reaps: bool) {
    let changed = async {
        if reaps {
            services.queue.reap(services.daemon.max_rescues).await
        } else {
            services.queue.end_cancelled().await
        }
    };
    match tokio::time::timeout(PATIENCE, changed).await {
        Ok(Ok(0)) => {}
        Ok(Ok(jobs)) => {
            info!(
                jobs,
                "took back jobs whose daemon is gone, or ended cancelled ones"
            );
            services.give_hint();
        }
        Ok(Err(error)) => warn!(
            error = &error as &dyn std::error::Error,
            "the reaper failed"
        ),
        Err(_) => warn!("the reaper got no answer"),
    }
}

async fn prune(services: &Services) {
    match tokio::time::timeout(PATIENCE, services.queue.prune_workers()).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(daemons)) => info!(daemons, "forgot daemons that were not seen for a week"),
        Ok(Err(error)) => warn!(
            error = &error as &dyn std::error::Error,
            "daemons that are gone could not be forgotten"
        ),
    }
}

/// For how long the daemon has written to the queue without a gap, by the database's clock: the machine's
/// monotonic one stands still while it is suspended.
#[derive(Debug)]
struct Uninterrupted {
    lease: TimeDelta,
    gap: TimeDelta,
    since: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

impl Uninterrupted {
    fn new(lease: Duration) -> Self {
        let lease = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        // A process that was stopped (SIGSTOP, a suspended machine) has a gap without an error.
        Self {
            lease,
            gap: lease / 2,
            since: None,
            last: None,
        }
    }

    /// A write succeeded; says whether a whole lease has gone by without a gap.
    fn succeeded(&mut self, now: DateTime<Utc>) -> bool {
        // A clock that was set back says nothing about the time between, either.
        if self
            .last
            .is_some_and(|last| now < last || now - last > self.gap)
        {
            self.since = None;
        }
        self.last = Some(now);
        now - *self.since.get_or_insert(now) >= self.lease
    }

    fn interrupted(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_reaps_only_after_a_whole_lease_of_writing() {
        let mut writing = Uninterrupted::new(Duration::from_secs(60));
        let at = |seconds| DateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!((0..6).all(|beat| !writing.succeeded(at(beat * 10))));
        assert!(writing.succeeded(at(60)));
        // An outage starts the lease anew.
        writing.interrupted();
        assert!(!writing.succeeded(at(70)));
        assert!((8..13).all(|beat| !writing.succeeded(at(beat * 10))));
        assert!(writing.succeeded(at(130)));
        // So does a gap without an error: the process was stopped.
        assert!(!writing.succeeded(at(500)));
        assert!((51..56).all(|beat| !writing.succeeded(at(beat * 10))));
        assert!(writing.succeeded(at(560)));
        // And a clock that was set back.
        assert!(!writing.succeeded(at(555)));
    }
}
