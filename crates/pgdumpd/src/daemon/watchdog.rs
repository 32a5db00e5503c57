//! systemd's watchdog follows the loops' liveness, never the database's answers: an outage of the queue
//! must not restart a daemon whose dumps run well.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::lifecycle::notify_systemd;

/// How often a loop that waits says that it lives: far below any limit that a unit will set.
const BEAT: Duration = Duration::from_secs(1);

/// When a loop last showed that it lives.
#[derive(Debug)]
pub(super) struct Pulse {
    origin: Instant,
    last: AtomicU64,
}

impl Pulse {
    /// Alive now.
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// Says that the loop goes round.
    pub(super) fn beat(&self) {
        self.last
            .store(self.origin.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Waits, beating meanwhile: a wait may be longer than the watchdog's limit. `wait` must end by itself.
    pub(super) async fn beat_through<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            self.beat();
            if let Ok(done) = tokio::time::timeout(BEAT, wait.as_mut()).await {
                self.beat();
                return done;
            }
        }
    }

    fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(last)
    }
}

/// Feeds the watchdog while every pulse beats. Does nothing where systemd has set none.
pub(super) async fn run(pulses: Vec<Arc<Pulse>>, shutdown: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut interval = tokio::time::interval(limit / 3);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        if pulses.iter().all(|pulse| pulse.silent_for() < limit) {
            notify_systemd(&[NotifyState::Watchdog]);
        } else {
            error!(
                limit.seconds = limit.as_secs(),
                "a loop makes no progress: leaving the daemon to the watchdog"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_longer_than_the_limit_is_no_silence() {
        let pulse = Pulse::new();
        let mut longest = Duration::ZERO;
        let wait = async {
            let end = Instant::now() + BEAT * 5 / 2;
            while Instant::now() < end {
                longest = longest.max(pulse.silent_for());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        pulse.beat_through(wait).await;
        assert!(longest < BEAT * 2, "{longest:?}");
        assert!(pulse.silent_for() < BEAT);
    }
}
