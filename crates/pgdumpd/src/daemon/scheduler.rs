//! Asks for the backups that the targets' schedules say, together with every other daemon and without a leader.
//!
//! The time is the queue's. A time that passed while no daemon ran is caught up with once, however many there were.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::context::Services;
use crate::queue::{KeptSchedule, QueueError, Settled};
use crate::schedule::Schedule;

/// The longest wait: the database's clock may be set, and the queue must know that a schedule is still had.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The same where no target has a schedule.
const NOTHING_TO_DO: Duration = Duration::from_secs(60 * 60);
/// The shortest: a wait may end a moment before the time has come.
const PAUSE: Duration = Duration::from_millis(100);
/// After an error.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Goes round until `drain` is cancelled.
pub(super) async fn run(services: Arc<Services>, drain: CancellationToken) {
    let mut changes = services.catalog_changes();
    let mut reported = BTreeSet::new();
    let mut outage = false;
    loop {
        changes.mark_unchanged();
        let round = tokio::select! {
            () = drain.cancelled() => return,
            // May be dropped: what was enqueued is recorded; another daemon, or the next start, does the others.
            round = round(&services, &mut reported) => round,
        };
        let wait = match round {
            Ok(wait) => {
                outage = false;
                wait
            }
            Err(error) => {
                if !outage {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue cannot be queried for schedules; trying again"
                    );
                }
                outage = true;
                TRY_AGAIN
            }
        };
        tokio::select! {
            () = drain.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            // The sender lives as long as the services do.
            _ = changes.changed() => {}
        }
    }
}

/// Settles what is due; gives the time until something is again.
async fn round(
    services: &Services,
    reported: &mut BTreeSet<(String, String)>,
) -> Result<Duration, QueueError> {
    let catalog = services.catalog();
    let targets: Vec<String> = catalog.targets.keys().cloned().collect();
    let schedules: Vec<Option<String>> = catalog
        .targets
        .values()
        .map(|target| target.schedule.as_ref().map(Schedule::to_string))
        .collect();
    let asked = Instant::now();
    let kept = services.queue.keep_schedules(&targets, &schedules).await?;
    let mut wait = if kept.is_empty() {
        NOTHING_TO_DO
    } else {
        LOOK_AGAIN
    };
    let mut known = BTreeSet::new();
    for kept in &kept {
        let Some(schedule) = catalog
            .targets
            .get(&kept.target)
            .and_then(|t| t.schedule.as_ref())
        else {
            continue;
        };
        let due = due(schedule, kept);
        if let Some(due) = due {
            settle(services, &kept.target, schedule, due).await?;
        }
        let name = (kept.target.clone(), schedule.to_string());
        if let Some(next) = schedule.next_due(kept.now) {
            wait = wait.min((next - kept.now).to_std().unwrap_or_default());
            if due.is_some() || !reported.contains(&name) {
                info!(
                    target = %name.0,
                    schedule = %name.1,
                    schedule.next_at = %next,
                    "next scheduled backup"
                );
            }
        }
        known.insert(name);
    }
    // One that comes back is reported again.
    *reported = known;
    Ok(wait.saturating_sub(asked.elapsed()).max(PAUSE))
}

/// The last due time, if it has not been handled. Earlier ones that were missed count as handled with it.
fn due(schedule: &Schedule, kept: &KeptSchedule) -> Option<DateTime<Utc>> {
    let latest = schedule.latest_due(kept.now)?;
    (latest > kept.due_at).then_some(latest)
}

async fn settle(
    services: &Services,
    target: &str,
    schedule: &Schedule,
    due: DateTime<Utc>,
) -> Result<(), QueueError> {
    let text = schedule.to_string();
    match services.queue.settle_schedule(target, &text, due).await? {
        Settled::Enqueued(job) => info!(
            target = %target,
            job.id = %job,
            schedule.due_at = %due,
            "enqueued a scheduled backup"
        ),
        Settled::Skipped { unfinished } => warn!(
            target = %target,
            job.id = %unfinished,
            schedule.due_at = %due,
            "skipped a scheduled backup: the last one has not ended"
        ),
        Settled::Already => {
            debug!(target = %target, schedule.due_at = %due, "another daemon was faster")
        }
    }
    Ok(())
}
