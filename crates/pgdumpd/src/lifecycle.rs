//! Signals, the two stages of stopping, and notifications to systemd.
//!
//! The first SIGTERM or SIGINT drains: nothing more is claimed and what runs may finish. The second, or
//! the end of `drain_timeout`, stops: dumps are stopped and their jobs are returned. SIGHUP reloads.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_tokio::Signals;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What every loop of the daemon listens to.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Claim no more.
    pub drain: CancellationToken,
    /// Stop what runs, too.
    pub stop: CancellationToken,
    /// Read the configuration again.
    pub reload: Arc<Notify>,
}

impl Lifecycle {
    /// Starts to listen to the process's signals.
    ///
    /// # Errors
    /// The system refuses to install a handler.
    pub fn listen(drain_timeout: Duration) -> std::io::Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        // A file that meets its size limit is an error of that write (EFBIG), not the end of the daemon.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let lifecycle = Self {
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            reload: Arc::new(Notify::new()),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "signals are listened to for as long as the process lives"
        )]
        tokio::spawn(lifecycle.clone().obey(signals, drain_timeout));
        Ok(lifecycle)
    }

    /// Claims no more and stops what runs, without a signal.
    pub fn stop_at_once(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    async fn obey(self, mut signals: Signals, drain_timeout: Duration) {
        let mut drain_ends = None;
        loop {
            let late = async {
                match drain_ends {
                    Some(end) if !self.stop.is_cancelled() => sleep_until(end).await,
                    _ => pending().await,
                }
            };
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = late => {
                    warn!("the drain timeout has passed: stopping the running dumps and returning their jobs");
                    self.stop.cancel();
                    continue;
                }
            };
            match signal {
                None => return,
                Some(SIGHUP) => {
                    info!("SIGHUP: reading targets and storages again");
                    self.reload.notify_one();
                }
                Some(_) if self.drain.is_cancelled() => {
                    warn!("second signal: stopping the running dumps and returning their jobs");
                    self.stop.cancel();
                }
                Some(_) => {
                    info!(
                        drain.timeout_seconds = drain_timeout.as_secs(),
                        "stopping: no more jobs are claimed, running jobs may finish"
                    );
                    self.drain.cancel();
                    drain_ends = Instant::now().checked_add(drain_timeout);
                }
            }
        }
    }
}

/// Notifies systemd (if it listens) of what the daemon does. A lost notification harms nothing.
pub fn notify_systemd(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd could not be notified");
    }
}
