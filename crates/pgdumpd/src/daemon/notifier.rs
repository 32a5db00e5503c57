//! Tells receivers what happened, and finds what is overdue. It has a task of its own, in which each receiver has its own
//! loop: one that does not answer holds up neither a job nor another receiver.
//!
//! A message is sent once, unless a daemon dies between sending it and noting that: then it comes once more, with the same id.

mod delivery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{NotifyEvent, ReceiverConfig};
use crate::context::Services;
use crate::queue::{QueueError, Receiver};

use delivery::Delivery;

type Receivers = BTreeMap<String, ReceiverConfig>;

/// How often the queue is told whom this daemon can tell.
const KEEP: Duration = Duration::from_secs(60);
/// How often what is overdue is looked for.
const WATCH: Duration = Duration::from_secs(10);
/// How often messages of long ago are forgotten.
const PRUNE: Duration = Duration::from_secs(60 * 60);
/// After an error of the queue.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, with the receivers of the moment. A message that is being sent is sent to its end. `known` is
/// cancelled once the queue knows the receivers, or could not be told.
pub(super) async fn run(
    services: Arc<Services>,
    mut receivers: watch::Receiver<Receivers>,
    known: CancellationToken,
    shutdown: CancellationToken,
) {
    loop {
        let current = receivers.borrow_and_update().clone();
        let stop = shutdown.child_token();
        let serving = serve(&services, &current, &known, &stop);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            () = serving.as_mut() => return,
            changed = receivers.changed() => {
                stop.cancel();
                serving.await;
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Serves these receivers until `stop`.
async fn serve(
    services: &Services,
    receivers: &Receivers,
    known: &CancellationToken,
    stop: &CancellationToken,
) {
    if receivers.is_empty() {
        known.cancel();
        return stop.cancelled().await;
    }
    let deliveries = receivers.iter().map(|(name, config)| {
        let delivery = Delivery {
            services,
            name,
            config,
        };
        delivery.run(stop)
    });
    tokio::join!(
        keep(services, receivers, known, stop),
        watch_targets(services, stop),
        join_all(deliveries),
    );
}

/// Lets the queue know the receivers, from which on messages are written for them.
async fn keep(
    services: &Services,
    receivers: &Receivers,
    known: &CancellationToken,
    stop: &CancellationToken,
) {
    let kept: Vec<Receiver> = receivers
        .iter()
        .map(|(name, config)| Receiver {
            name: name.clone(),
            events: config
                .events
                .iter()
                .copied()
                .map(NotifyEvent::word)
                .collect(),
            targets: config.targets.clone(),
        })
        .collect();
    let mut outage = false;
    let mut pruned = None::<tokio::time::Instant>;
    loop {
        let mut wait = KEEP;
        match services.queue.keep_receivers(&kept).await {
            Ok(()) => outage = false,
            Err(error) => {
                report(
                    &mut outage,
                    &error,
                    "the queue could not be told whom to notify; trying again",
                );
                wait = TRY_AGAIN;
            }
        }
        known.cancel();
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE) && !outage {
            // Tried again in an hour.
            let _ = services.queue.prune_notifications().await;
            pruned = Some(tokio::time::Instant::now());
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Finds targets whose last good backup has become too old.
async fn watch_targets(services: &Services, stop: &CancellationToken) {
    let mut outage = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH) => {}
        }
        let limits = services.catalog().alert_after();
        if limits.is_empty() {
            continue;
        }
        match services.queue.note_overdue(&limits).await {
            Ok(overdue) => {
                outage = false;
                for target in &overdue {
                    warn!(target = %target, "the target has had no good backup for longer than its alert_after");
                }
                if !overdue.is_empty() {
                    services.give_hint();
                }
            }
            Err(error) => report(
                &mut outage,
                &error,
                "the queue cannot be queried for overdue targets; trying again",
            ),
        }
    }
}

/// Once for each outage.
fn report(outage: &mut bool, error: &QueueError, what: &str) {
    if !*outage {
        warn!(error = error as &dyn std::error::Error, "{what}");
    } else {
        info!(error = error as &dyn std::error::Error, "{what}");
    }
    *outage = true;
}
