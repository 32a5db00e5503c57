//! Daemons that mean different things by one target: told once, and kept from taking a backup.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{debug, error, info};

use super::{Served, Services, target_settings};
use crate::fault::Fault;
use crate::finding::Finding;
use crate::queue::{Difference, QueueError};

/// The stable word for it.
const DAEMONS_DIFFER: &str = "daemons_differ";
const QUEUE_FAILED: &str = "queue_failed";
const HINT: &str = "Give both daemons the same configuration of the target, and reload them (SIGHUP). Until then neither \
                    takes a backup of it, nor deletes one.";
/// A question that is not answered by then is asked again at the next heartbeat.
const LIMIT: Duration = Duration::from_secs(10);

/// What this daemon has said of its differences with others.
#[derive(Debug, Default)]
pub(super) struct Differences {
    seen: BTreeSet<Difference>,
    said: BTreeSet<Difference>,
}

impl Differences {
    /// Looks for differences, and logs those that are new and those that are gone.
    pub(super) async fn tell(&mut self, services: &Services) {
        let now: BTreeSet<Difference> = match ask(services).await {
            Ok(differences) => differences.into_iter().collect(),
            Err(fault) => return debug!("the daemons cannot be compared: {}", fault.report()),
        };
        // Two ways to write one address differ until both servers have answered, a moment after the start.
        let is_certain = |one: &Difference| one.settings != ["address"] || self.seen.contains(one);
        let certain = now.iter().filter(|one| is_certain(one)).cloned();
        let certain: BTreeSet<Difference> = certain.collect();
        for difference in certain.difference(&self.said) {
            error!(
                target = difference.target,
                error.hint = HINT,
                "{difference}"
            );
        }
        let targets = |differences: &BTreeSet<Difference>| -> BTreeSet<String> {
            differences.iter().map(|one| one.target.clone()).collect()
        };
        for target in targets(&self.said).difference(&targets(&now)) {
            info!(target, "the daemons agree about the target again");
            services.give_hint();
            services.retention.look_again();
        }
        if certain != self.said {
            // What the last check said of it is over.
            services.recheck.notify_one();
        }
        self.seen = now;
        self.said = certain;
    }
}

/// Shows the others what the target means here, now that its server and its storage have answered.
///
/// # Errors
/// A transient `daemons_differ` where it means something else to a daemon that is alive.
pub(crate) async fn agree(services: &Services, served: &Served, target: &str) -> Result<(), Fault> {
    match agree_for_certain(services, served, target).await {
        // The claim was refused if a difference was known a moment ago, and the heartbeat judges an outage.
        Err(fault) if fault.code() == QUEUE_FAILED => {
            debug!("the daemons cannot be compared: {}", fault.report());
            Ok(())
        }
        agreed => agreed,
    }
}

/// The same for what cannot be taken back: an answer is needed.
///
/// # Errors
/// As [`agree`], and a transient `queue_failed`.
pub(super) async fn agree_for_certain(
    services: &Services,
    served: &Served,
    target: &str,
) -> Result<(), Fault> {
    let settings = target_settings::of(served);
    let shown = services
        .queue
        .show_target_settings(services.worker.id, &settings);
    in_time(shown).await?;
    let differences = ask(services).await?;
    match differences.iter().find(|one| one.target == target) {
        Some(difference) => {
            Err(Fault::transient(DAEMONS_DIFFER, difference.to_string()).hint(HINT))
        }
        None => Ok(()),
    }
}

/// What a check says of it.
pub(crate) fn finding(difference: &Difference) -> Finding {
    Finding::error(DAEMONS_DIFFER, difference.to_string()).hint(HINT)
}

async fn ask(services: &Services) -> Result<Vec<Difference>, Fault> {
    in_time(services.queue.differences(Some(services.worker.id))).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, QueueError>>) -> Result<T, Fault> {
    let failed = |text: &str| Fault::transient(QUEUE_FAILED, text);
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed("the queue could not be asked").caused_by(error)),
        Err(_) => Err(failed("the queue gave no answer in time")),
    }
}
