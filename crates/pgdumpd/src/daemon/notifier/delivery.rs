//! Sends one receiver its messages, in their order, together with every other daemon.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::config::ReceiverConfig;
use crate::context::Services;
use crate::metrics::Told;
use crate::notify::{self, Message, SendError};
use crate::queue::{Notification, Unsent};

/// How long a receiver is this daemon's: longer than the messages that are read at once take.
const LEASE: Duration = Duration::from_secs(60);
/// A message that nobody took for so long is given up.
pub(super) const GIVE_UP: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60 * 60));
/// Between two tries to note what became of a message.
const NOTE_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks, however many hints come.
const SPACING: Duration = Duration::from_millis(200);

/// Of one receiver.
pub(super) struct Delivery<'a> {
    pub(super) services: &'a Services,
    pub(super) name: &'a str,
    pub(super) config: &'a ReceiverConfig,
}

impl Delivery<'_> {
    /// Sends what is due until `stop`; then the message that is being sent.
    pub(super) async fn run(self, stop: &CancellationToken) {
        let mut hints = self.services.hints();
        while !stop.is_cancelled() {
            hints.mark_unchanged();
            let queue = &self.services.queue;
            let daemon = self.services.worker.id;
            let due = queue.due_notifications(self.name, daemon, LEASE).await;
            let due = due.unwrap_or_else(|error| {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "the queue cannot be queried for messages"
                );
                Vec::new()
            });
            if self.send_all(due, stop).await {
                continue;
            }
            let wait = self.services.daemon.poll_interval;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _ = hints.changed() => tokio::time::sleep(SPACING).await,
            }
        }
    }

    /// Sends these while the receiver takes them. Returns whether there may be more.
    async fn send_all(&self, due: Vec<Notification>, stop: &CancellationToken) -> bool {
        let mut sent_any = false;
        let began = Instant::now();
        for notification in due {
            if stop.is_cancelled() || began.elapsed() + notify::SEND_LIMIT >= LEASE {
                return false;
            }
            let message = message(&notification);
            match notify::send(self.config, &message).await {
                Ok(answer) => {
                    debug!(notify.receiver = self.name, notify.id = %message.id, "told: {answer}");
                    self.count(Told::Sent);
                    self.note_sent(&notification).await;
                    sent_any = true;
                }
                Err(error) => {
                    self.note_unsent(&notification, &error).await;
                    if error.is_away {
                        return false;
                    }
                }
            }
        }
        sent_any
    }

    /// Until the lease is over: whoever then sends it once more does so with the same id.
    async fn note_sent(&self, notification: &Notification) {
        let deadline = Instant::now() + LEASE;
        while let Err(error) = self.services.queue.mark_sent(notification.id).await {
            if Instant::now() >= deadline {
                warn!(
                    notify.receiver = self.name,
                    notify.id = %notification.id,
                    error = &error as &dyn std::error::Error,
                    "a message was sent and that could not be noted: it will be sent again"
                );
                return;
            }
            tokio::time::sleep(NOTE_AGAIN).await;
        }
    }

    async fn note_unsent(&self, notification: &Notification, failed: &SendError) {
        let unsent = Unsent {
            why: &failed.why,
            wait: pause(notification.attempts),
            give_up: GIVE_UP,
            is_away: failed.is_away,
        };
        let noted = self
            .services
            .queue
            .mark_unsent(notification.id, &unsent)
            .await;
        if matches!(noted, Ok(true)) {
            self.count(Told::GivenUp);
            error!(
                notify.receiver = self.name,
                notify.id = %notification.id,
                notify.event = notification.event,
                "gave a message up after {} h: {failed}",
                GIVE_UP.as_secs() / 3600
            );
            return;
        }
        self.count(Told::Failed);
        warn!(
            notify.receiver = self.name,
            notify.id = %notification.id,
            notify.event = notification.event,
            "a message could not be sent and will be tried again: {failed}"
        );
    }

    fn count(&self, told: Told) {
        self.services.counters.told(self.name, told);
    }
}

fn message(due: &Notification) -> Message {
    Message::new(
        due.id,
        due.event.clone(),
        due.happened_at,
        due.target.clone(),
        due.job,
        due.details.clone(),
    )
}

/// 10 s, 20 s, 40 s, … up to an hour, less up to a half, so that daemons and messages do not come together.
fn pause(attempts: i32) -> Duration {
    let (first, longest) = PAUSES;
    let doublings = attempts.clamp(0, 20).unsigned_abs();
    let pause = first
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(longest);
    pause.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        for attempts in 0..200 {
            let pause = pause(attempts);
            assert!(
                pause >= PAUSES.0 / 2 && pause <= PAUSES.1,
                "{attempts}: {pause:?}"
            );
        }
        assert!(pause(0) < Duration::from_secs(10));
        assert!(pause(9) >= Duration::from_secs(1800));
    }
}
