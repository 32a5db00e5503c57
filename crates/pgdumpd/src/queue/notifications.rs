//! What receivers are told: messages wait in the queue until a daemon has sent them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const KEEP_RECEIVERS: &str = include_str!("sql/keep_receivers.sql");
const CLAIM: &str = include_str!("sql/claim_receiver.sql");
const DUE: &str = include_str!("sql/due_notifications.sql");
const SENT: &str = include_str!("sql/mark_sent.sql");
const UNSENT: &str = include_str!("sql/mark_unsent.sql");
const PRUNE: &str = include_str!("sql/prune_notifications.sql");
const TROUBLE: &str = include_str!("sql/unsent_notifications.sql");

/// How many messages are read at once.
const AT_ONCE: i64 = 4;

/// A receiver, as the queue knows it.
#[derive(Debug, Clone, Serialize)]
pub struct Receiver {
    /// Its name in the configuration.
    pub name: String,
    /// The words of the events that it wants.
    pub events: Vec<&'static str>,
    /// The targets that it wants to know of; all, if none.
    pub targets: Option<Vec<String>>,
}

/// A message that waits to be sent.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The same in each try.
    pub id: Uuid,
    /// Such as `failed`.
    pub event: String,
    /// The target that it is about.
    pub target: Option<String>,
    /// The job that it is about.
    pub job: Option<Uuid>,
    /// When it happened, by the queue's clock.
    pub happened_at: DateTime<Utc>,
    /// What happened.
    pub details: serde_json::Value,
    /// How often it was tried.
    pub attempts: i32,
}

/// Why a message was not sent, and what follows.
#[derive(Debug, Clone)]
pub struct Unsent<'a> {
    /// For people.
    pub why: &'a str,
    /// Until the next try.
    pub wait: Duration,
    /// After this long it is given up.
    pub give_up: Duration,
    /// Whether the receiver is not there, so that its other messages wait as long.
    pub is_away: bool,
}

/// A receiver that could not be told something.
#[derive(Debug, Clone)]
pub struct ReceiverTrouble {
    /// Its name.
    pub receiver: String,
    /// Messages that were given up within a day.
    pub given_up: i64,
    /// Messages that will be tried again.
    pub waiting: i64,
    /// What was said last.
    pub last_error: Option<String>,
}

impl Queue {
    /// Writes whom this daemon can tell. From then on what happens is written for them.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn keep_receivers(&self, receivers: &[Receiver]) -> Result<(), QueueError> {
        let receivers = serde_json::to_value(receivers).unwrap_or_default();
        let statement = sqlx::query(KEEP_RECEIVERS).bind(receivers);
        self.inner.connections.fetch_all(statement).await?;
        Ok(())
    }

    /// Takes a receiver for `lease`, and reads the first messages that are due for it. None, if another daemon has it.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn due_notifications(
        &self,
        receiver: &str,
        daemon: Uuid,
        lease: Duration,
    ) -> Result<Vec<Notification>, QueueError> {
        let connections = &self.inner.connections;
        let claim = sqlx::query(CLAIM)
            .bind(receiver)
            .bind(daemon)
            .bind(lease.as_secs_f64());
        if connections.fetch_optional(claim).await?.is_none() {
            return Ok(Vec::new());
        }
        let due = sqlx::query(DUE).bind(receiver).bind(AT_ONCE);
        let rows = connections.fetch_all(due).await?;
        let read = rows.iter().map(|row| {
            Ok(Notification {
                id: row.try_get("id")?,
                event: row.try_get("event")?,
                target: row.try_get("target")?,
                job: row.try_get("job_id")?,
                happened_at: row.try_get("happened_at")?,
                details: row.try_get("details")?,
                attempts: row.try_get("attempts")?,
            })
        });
        read.collect()
    }

    /// Notes that a message was sent.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_sent(&self, id: Uuid) -> Result<(), QueueError> {
        let statement = sqlx::query(SENT).bind(id);
        self.inner.connections.fetch_all(statement).await?;
        Ok(())
    }

    /// Notes that a message was not sent. Returns whether it is given up.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn mark_unsent(&self, id: Uuid, unsent: &Unsent<'_>) -> Result<bool, QueueError> {
        let statement = sqlx::query(UNSENT)
            .bind(id)
            .bind(super::text::fitted(unsent.why, super::text::LINE_BYTES))
            .bind(unsent.wait.as_secs_f64())
            .bind(unsent.give_up.as_secs_f64())
            .bind(unsent.is_away);
        match self.inner.connections.fetch_optional(statement).await? {
            Some(row) => Ok(row.try_get("gave_up")?),
            None => Ok(false),
        }
    }

    /// Forgets messages of long ago.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn prune_notifications(&self) -> Result<(), QueueError> {
        self.inner.connections.fetch_all(sqlx::query(PRUNE)).await?;
        Ok(())
    }

    /// Which of these receivers could not be told something.
    ///
    /// # Errors
    /// The database's.
    pub async fn unsent_notifications(
        &self,
        receivers: &[String],
    ) -> Result<Vec<ReceiverTrouble>, QueueError> {
        let statement = sqlx::query(TROUBLE).bind(receivers.to_vec());
        let rows = self.inner.connections.fetch_all(statement).await?;
        let read = rows.iter().map(|row| {
            Ok(ReceiverTrouble {
                receiver: row.try_get("receiver")?,
                given_up: row.try_get("given_up")?,
                waiting: row.try_get("waiting")?,
                last_error: row.try_get("last_error")?,
            })
        });
        read.collect()
    }
}
