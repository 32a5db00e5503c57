//! Logs each difference between this daemon and others once: when it is found, and when it is gone.

use std::collections::BTreeSet;

use tracing::{debug, error, info};

use crate::context::{Services, agreement};
use crate::queue::Difference;

/// What this daemon has logged of its differences with others.
#[derive(Debug, Default)]
pub(super) struct Differences {
    seen: BTreeSet<Difference>,
    reported: BTreeSet<Difference>,
}

impl Differences {
    /// Reads the differences, and logs those that are new and those that are gone.
    pub(super) async fn report(&mut self, services: &Services) {
        let now: BTreeSet<Difference> = match agreement::differences(services).await {
            Ok(differences) => differences.into_iter().collect(),
            Err(fault) => return debug!("the daemons cannot be compared: {}", fault.report()),
        };
        // Two ways to write one address differ until both servers have answered, a moment after the start.
        let is_certain = |one: &Difference| one.settings != ["address"] || self.seen.contains(one);
        let certain = now.iter().filter(|one| is_certain(one)).cloned();
        let certain: BTreeSet<Difference> = certain.collect();
        for difference in certain.difference(&self.reported) {
            error!(
                target = difference.target,
                error.hint = agreement::HINT,
                "{difference}"
            );
        }
        let targets = |differences: &BTreeSet<Difference>| -> BTreeSet<String> {
            differences.iter().map(|one| one.target.clone()).collect()
        };
        for target in targets(&self.reported).difference(&targets(&now)) {
            info!(target, "the daemons agree about the target again");
            services.give_hint();
            services.retention.apply_again();
        }
        if certain != self.reported {
            // What the last check reported of it is over.
            services.ask_for_checks();
        }
        self.seen = now;
        self.reported = certain;
    }
}
