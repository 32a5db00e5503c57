//! What runs while the daemon runs: the claim loop, its registration in the queue and the reaper, cleanup, retention,
//! schedules, the listener for hints, requests over HTTP, notifications, its own checks, reloading, and systemd's watchdog.

mod claim_loop;
mod cleanup;
mod contents;
mod differences;
mod hints;
mod listing;
mod notifier;
mod reaper;
mod registration;
mod reload;
mod retention;
mod scheduler;
mod self_check;
mod watchdog;

pub(crate) use self::reload::log_warnings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::{Config, DaemonConfig};
use crate::context::{KnownStorages, Services, resolve_targets};
use crate::http::Http;
use crate::lifecycle::{Lifecycle, notify_systemd};
use crate::queue::{Applications, Queue, QueueError, Worker};
use watchdog::Pulse;

/// Between two tries to reach the queue at the start.
const RECONNECT: Duration = Duration::from_secs(3);
/// How often a warning reports that the queue is still not reached.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the daemon until it is stopped.
///
/// `reload` is the configuration file to read again at SIGHUP.
///
/// # Errors
/// The queue refuses this daemon (not migrated, another id, also when that shows later). An unreachable queue is
/// waited for.
pub async fn run(config: Config, reload: Option<PathBuf>) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::listen(config.daemon.drain_timeout)?;
    let claiming = Arc::new(Pulse::new());
    let present = Arc::new(Pulse::new());
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    // Before anything else: READY may come before the queue is reached.
    tasks.spawn(watchdog::run(
        vec![Arc::clone(&claiming), Arc::clone(&present)],
        shutdown.clone(),
    ));
    let connecting = connect(&config, &lifecycle);
    let connected = claiming
        .beat_through(present.beat_through(connecting))
        .await;
    let Some((queue, known)) = connected? else {
        return Ok(());
    };
    let catalog = resolve_targets(&config, None, Arc::new(known)).await;
    let services = Arc::new(Services::new(
        queue,
        worker(&config.daemon),
        config.daemon.clone(),
        config.pg_dump.clone(),
        catalog,
    ));
    introduce(&services).await;
    // Before the first check, which would otherwise find that no daemon is alive. The task that takes over from here
    // logs failures.
    let _ = registration::register(&services, false).await;

    let registration = tasks.spawn(registration::run(
        Arc::clone(&services),
        lifecycle.clone(),
        Arc::clone(&present),
        shutdown.clone(),
    ));
    tasks.spawn(listen(Arc::clone(&services), shutdown.clone()));
    let (http_config, http_configs) = watch::channel(config.http.clone());
    let http = Http::new(
        Applications::new(&config.queue),
        Arc::clone(&services.counters),
        services.queue.id(),
        Arc::new(contents::StoredContents::new(Arc::clone(&services))),
        http_configs,
        lifecycle.drain.clone(),
    );
    let tried = CancellationToken::new();
    tasks.spawn(http.run(tried.clone(), shutdown.clone()));
    // Before the first check, which would otherwise find that nobody listens.
    tried.cancelled().await;
    let (notify_config, notify_configs) = watch::channel(config.notify.clone());
    let receivers_known = CancellationToken::new();
    tasks.spawn(notifier::run(
        Arc::clone(&services),
        notify_configs,
        receivers_known.clone(),
        shutdown.clone(),
    ));
    // Before the first claim, whose job's events would otherwise be written for nobody.
    receivers_known.cancelled().await;
    tasks.spawn(cleanup::run(Arc::clone(&services), shutdown.clone()));
    tasks.spawn(retention::run(Arc::clone(&services), shutdown.clone()));
    tasks.spawn(scheduler::run(
        Arc::clone(&services),
        lifecycle.drain.clone(),
    ));
    tasks.spawn(reload::run(
        Arc::clone(&services),
        config,
        reload,
        reload::Reloaded {
            http: http_config,
            notify: notify_config,
        },
        lifecycle.clone(),
        shutdown.clone(),
    ));
    tasks.spawn(report_stopping(lifecycle.drain.clone(), shutdown.clone()));

    notify_systemd(&[NotifyState::Ready, NotifyState::Status("waiting for jobs")]);
    claim_loop::run(Arc::clone(&services), lifecycle, claiming).await;

    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    registration.await??;
    if let Err(error) = services.queue.unregister(services.worker.id).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "the daemon could not be unregistered from the queue"
        );
    }
    info!("stopped");
    Ok(())
}

/// Connects to the queue and asks which storages it knows, waiting while it cannot be reached; `None` if stopped
/// meanwhile.
///
/// # Errors
/// The queue's refusal: systemd starts the daemon again later.
async fn connect(
    config: &Config,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Option<(Queue, KnownStorages)>> {
    let mut warned_at: Option<Instant> = None;
    loop {
        let tried = tokio::select! {
            () = lifecycle.drain.cancelled() => return Ok(None),
            tried = try_to_connect(config) => tried,
        };
        match tried {
            Ok(connected) => return Ok(Some(connected)),
            Err(error) if error.may_pass() => {
                if warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
                    warn!(
                        queue.address = %config.queue.url,
                        error = &error as &dyn std::error::Error,
                        error.hint = error.hint(),
                        "the queue cannot be reached; trying again"
                    );
                    // A host must finish its boot while the queue's is down. From here on the watchdog is fed.
                    notify_systemd(&[
                        NotifyState::Ready,
                        NotifyState::Status("waiting for the queue's database"),
                    ]);
                    warned_at = Some(Instant::now());
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = lifecycle.drain.cancelled() => return Ok(None),
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}

async fn try_to_connect(config: &Config) -> Result<(Queue, KnownStorages), QueueError> {
    // One connection first: a pool would try for half a minute, and then say only that it took too long.
    Queue::reach(&config.queue).await?;
    let queue = Queue::connect(&config.queue).await?;
    let remembered = queue.remembered_storages().await?;
    Ok((queue, KnownStorages::new(remembered)))
}

fn worker(daemon: &DaemonConfig) -> Worker {
    Worker {
        id: Uuid::new_v4(),
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        pid: i32::try_from(std::process::id()).unwrap_or(0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        max_jobs: i32::try_from(daemon.max_jobs).unwrap_or(i32::MAX),
        max_copies: i32::try_from(daemon.max_copies).unwrap_or(i32::MAX),
        lease: daemon.lease,
    }
}

/// The first line of a daemon's log: which queue this is, where, and who else serves it.
async fn introduce(services: &Services) {
    let catalog = services.catalog();
    let address = services
        .queue
        .server_address()
        .await
        .unwrap_or_else(|_| "unknown".to_owned());
    let others = services.queue.live_workers().await.unwrap_or_default();
    let others: Vec<String> = others
        .iter()
        .map(|other| format!("{} (pid {})", other.host, other.pid))
        .collect();
    info!(
        queue.id = %services.queue.id(),
        queue.address = address,
        worker.id = %services.worker.id,
        worker.version = services.worker.version,
        targets = catalog.targets.len(),
        storages = catalog.storages.len(),
        other_daemons = others.join(", "),
        "started"
    );
}

/// Turns notifications into hints.
async fn listen(services: Arc<Services>, shutdown: CancellationToken) {
    let hints = hints::spaced(services.queue.listener(), || services.give_hint());
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = hints => {}
    }
}

async fn report_stopping(drain: CancellationToken, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = drain.cancelled() => {}
    }
    notify_systemd(&[
        NotifyState::Stopping,
        NotifyState::Status("waiting for running jobs"),
    ]);
}
