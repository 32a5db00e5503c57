//! The daemon's row in the queue, renewed at each heartbeat.
//!
//! A daemon whose address leads to another queue than it began with (a failover, a clone, a name that moved) stops.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::differences::Differences;
use super::reaper::Reaper;
use super::watchdog::Pulse;
use crate::context::{Services, target_settings};
use crate::lifecycle::{Lifecycle, notify_systemd};
use crate::queue::QueueError;

/// A write that is not answered by then counts as an interruption.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Renews the daemon's row and reaps, every heartbeat, until `shutdown` is cancelled.
///
/// # Errors
/// The queue is another one by now: the daemon has stopped everything.
pub(super) async fn run(
    services: Arc<Services>,
    lifecycle: Lifecycle,
    pulse: Arc<Pulse>,
    shutdown: CancellationToken,
) -> Result<(), QueueError> {
    let drain = &lifecycle.drain;
    let tick = services.daemon.heartbeat;
    let mut reaper = Reaper::new(services.daemon.lease);
    let mut reported = (0, 0);
    let mut differences = Differences::default();
    let mut reloads = services.catalog_changes();
    loop {
        match pulse
            .beat_through(register(&services, drain.is_cancelled()))
            .await
        {
            Ok(now) => {
                pulse.beat_through(reaper.run(&services, now)).await;
                pulse.beat_through(differences.report(&services)).await;
            }
            Err(replaced @ QueueError::Replaced { .. }) => {
                error!(
                    error = &replaced as &dyn std::error::Error,
                    "stopping at once: the running jobs belong to another queue"
                );
                lifecycle.stop_at_once();
                pulse.beat_through(shutdown.cancelled()).await;
                return Err(replaced);
            }
            Err(_) => reaper.interrupted(),
        }
        let running = services.running();
        if running != reported && !drain.is_cancelled() {
            reported = running;
            let (backups, copies) = running;
            let mut text = format!("{backups} of {} jobs running", services.daemon.max_jobs);
            if copies > 0 {
                text.push_str(&format!(
                    ", and {copies} of {} copies",
                    services.daemon.max_copies
                ));
            }
            notify_systemd(&[NotifyState::Status(&text)]);
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
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
    let catalog = services.catalog();
    let targets: Vec<String> = catalog.targets.keys().cloned().collect();
    let storages = catalog.storages_for_copies();
    let settings = target_settings::of(&catalog);
    let register =
        services
            .queue
            .register(&services.worker, &targets, &storages, &settings, draining);
    match tokio::time::timeout(REGISTER_TIMEOUT, register).await {
        Ok(registered) => registered,
        Err(_) => Err(QueueError::Timeout(REGISTER_TIMEOUT)),
    }
}
