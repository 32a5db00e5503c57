//! When the servers with a target for each database are asked again which databases they have.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use crate::config::{Config, Databases};
use crate::context::Catalog;
use crate::queue::Queue;

/// How soon a server is asked again that could not be asked for its databases.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// How soon a database that is new is served.
const LIST_AGAIN: Duration = Duration::from_secs(60);
/// How soon one is served that a queued job names.
const NAMED_AGAIN: Duration = Duration::from_secs(3);
/// For how many names the servers were asked. What no server has may be named without an end.
const MOST_NAMES: usize = 1000;

/// What was asked for before.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Names that jobs have, and that no server had when it was asked because of them.
    tried: BTreeSet<String>,
}

impl Listing {
    /// Waits until the servers are to be asked again; for ever where there are none.
    pub(super) async fn due(&mut self, queue: &Queue, catalog: &Catalog, config: &Config) {
        let targets = config.targets.iter();
        let lists = targets.filter(|(_, target)| target.databases != Databases::One);
        let servers: Vec<String> = lists.map(|(name, _)| name.clone()).collect();
        if !catalog.unlisted.is_empty() {
            return sleep(ASK_AGAIN).await;
        }
        if servers.is_empty() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = sleep_until(Instant::now() + LIST_AGAIN) => self.tried.clear(),
            () = self.named_by_a_job(queue, catalog, &servers) => {}
        }
    }

    async fn named_by_a_job(&mut self, queue: &Queue, catalog: &Catalog, servers: &[String]) {
        loop {
            sleep(NAMED_AGAIN).await;
            if self.tried.len() > MOST_NAMES {
                continue;
            }
            let known = catalog.targets.keys().chain(&self.tried);
            let known: Vec<String> = known.cloned().collect();
            match queue.queued_of_servers(servers, &known).await {
                Ok(named) if named.is_empty() => {}
                Ok(named) => {
                    self.tried.extend(named);
                    return;
                }
                Err(error) => debug!(%error, "the queue cannot be queried for new databases"),
            }
        }
    }
}
