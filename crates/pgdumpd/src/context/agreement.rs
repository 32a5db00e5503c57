//! Daemons that mean different things by one target: none of them takes a backup of it, nor deletes one.

use std::time::Duration;

use tracing::debug;

use super::{Catalog, Services, target_settings};
use crate::code::Code;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::queue::{Difference, QueueError};

pub(crate) const HINT: &str = "Give both daemons the same configuration of the target, and reload them (SIGHUP). Until then neither \
                    takes a backup of it, nor deletes one.";
/// A question that is not answered by then is asked again at the next heartbeat.
const LIMIT: Duration = Duration::from_secs(10);

/// Shows the others what the target means here, now that its server and its storage have answered.
///
/// # Errors
/// A transient `daemons_differ` where it means something else to a daemon that is alive.
pub(crate) async fn agree(
    services: &Services,
    catalog: &Catalog,
    target: &str,
) -> Result<(), Fault> {
    match agree_for_certain(services, catalog, target).await {
        // The claim was refused if a difference was known a moment ago, and the heartbeat judges an outage.
        Err(fault) if fault.code() == Code::QueueFailed => {
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
pub(crate) async fn agree_for_certain(
    services: &Services,
    catalog: &Catalog,
    target: &str,
) -> Result<(), Fault> {
    let settings = target_settings::of(catalog);
    let shown = services
        .queue
        .show_target_settings(services.worker.id, &settings);
    in_time(shown).await?;
    let differences = differences(services).await?;
    match differences.iter().find(|one| one.target == target) {
        Some(difference) => {
            Err(Fault::transient(Code::DaemonsDiffer, difference.to_string()).hint(HINT))
        }
        None => Ok(()),
    }
}

/// What a check says of it.
pub(crate) fn finding(difference: &Difference) -> Finding {
    Finding::error(Code::DaemonsDiffer, difference.to_string()).hint(HINT)
}

/// All differences between this daemon and others that are alive.
///
/// # Errors
/// A transient `queue_failed`.
pub(crate) async fn differences(services: &Services) -> Result<Vec<Difference>, Fault> {
    in_time(services.queue.differences(Some(services.worker.id))).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, QueueError>>) -> Result<T, Fault> {
    let failed = |text: &str| Fault::transient(Code::QueueFailed, text);
    match tokio::time::timeout(LIMIT, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed("the queue could not be queried").caused_by(error)),
        Err(_) => Err(failed("the queue gave no answer in time")),
    }
}
