//! Takes jobs back whose daemon is gone.
//!
//! Only a daemon that has itself written to the queue without interruption for one whole lease takes jobs from others:
//! after an outage of the queue, the owners of the running jobs come first.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::context::Services;

/// A statement that is not answered by then is given up until the next heartbeat.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often daemons that are long gone are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// What this daemon takes back, at each heartbeat.
#[derive(Debug)]
pub(super) struct Reaper {
    writing: Uninterrupted,
    pruned: Option<Instant>,
}

impl Reaper {
    /// Of a daemon that starts.
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            writing: Uninterrupted::new(lease),
            pruned: None,
        }
    }

    /// Takes back what it may, after a write to the queue that succeeded at this time of the database.
    pub(super) async fn run(&mut self, services: &Services, now: DateTime<Utc>) {
        let reaps = self.writing.succeeded(now);
        take_back(services, reaps).await;
        if self
            .pruned
            .is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY)
        {
            prune(services).await;
            self.pruned = Some(Instant::now());
        }
    }

    /// A write to the queue failed.
    pub(super) fn interrupted(&mut self) {
        self.writing.interrupted();
    }
}

/// Takes back what the daemons that are gone have left, where this one may; else only ends what is cancelled.
async fn take_back(services: &Services, reaps: bool) {
    let changed = async {
        if reaps {
            services.queue.reap(services.daemon.max_rescues).await
        } else {
            services.queue.end_cancelled().await
        }
    };
    match tokio::time::timeout(TIMEOUT, changed).await {
        Ok(Ok(0)) => {}
        Ok(Ok(jobs)) => {
            info!(
                jobs,
                "requeued or ended jobs whose daemon is gone or that were cancelled"
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
    match tokio::time::timeout(TIMEOUT, services.queue.prune_workers()).await {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(daemons)) => info!(daemons, "removed daemons that were not seen for a week"),
        Ok(Err(error)) => warn!(
            error = &error as &dyn std::error::Error,
            "daemons that are gone could not be removed"
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
        // An outage restarts the lease.
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
