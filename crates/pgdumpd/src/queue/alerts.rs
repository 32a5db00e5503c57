//! What is wrong and no job's end: it is written once, and from there told to the receivers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};
use crate::code::Code;

const WATCH: &str = include_str!("sql/watch_targets.sql");
const OVERDUE: &str = include_str!("sql/note_overdue.sql");
const DAMAGED: &str = include_str!("sql/note_damaged.sql");
const FINDINGS: &str = include_str!("sql/note_findings.sql");

/// Something that a daemon's checks have found.
#[derive(Debug, Clone, Serialize)]
pub struct NotedFinding {
    /// Such as `target shop`.
    pub subject: String,
    /// The target that it is about.
    pub target: Option<String>,
    /// A stable word.
    pub code: String,
    /// What was found.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

/// A stored backup that was found damaged.
#[derive(Debug, Clone, Copy)]
pub struct Damaged<'a> {
    /// The backup's job.
    pub job: Uuid,
    /// The storage's name.
    pub storage: &'a str,
    /// The storage's id.
    pub storage_id: Uuid,
    /// Where it is there.
    pub object_key: &'a str,
    /// What kind of damage.
    pub code: Code,
    /// What was found.
    pub what: &'a str,
}

impl Queue {
    /// Writes which of these targets have become overdue, and returns those that had not been before.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn note_overdue(
        &self,
        limits: &BTreeMap<String, Duration>,
    ) -> Result<Vec<String>, QueueError> {
        let targets: Vec<String> = limits.keys().cloned().collect();
        let seconds: Vec<f64> = limits.values().map(Duration::as_secs_f64).collect();
        let connections = &self.inner.connections;
        connections
            .fetch_all(sqlx::query(WATCH).bind(targets.clone()))
            .await?;
        let statement = sqlx::query(OVERDUE).bind(targets).bind(seconds);
        let rows = connections.fetch_all(statement).await?;
        rows.iter().map(|row| Ok(row.try_get("target")?)).collect()
    }

    /// Writes that a stored backup was found damaged.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn note_damaged(&self, damaged: &Damaged<'_>) -> Result<(), QueueError> {
        let statement = sqlx::query(DAMAGED)
            .bind(damaged.job)
            .bind(damaged.storage)
            .bind(damaged.storage_id)
            .bind(damaged.object_key)
            .bind(damaged.code.as_str())
            .bind(super::text::fitted(damaged.what, super::text::ERROR_BYTES));
        self.inner.connections.fetch_all(statement).await?;
        Ok(())
    }

    /// Writes what this daemon's checks have found for the first time, and takes away what is over.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn note_findings(
        &self,
        daemon: Uuid,
        findings: &[NotedFinding],
    ) -> Result<(), QueueError> {
        // jsonb takes no NUL.
        let fit = |text: &str| super::text::fitted(text, super::text::HINT_BYTES);
        let fitted = findings.iter().map(|finding| NotedFinding {
            subject: fit(&finding.subject),
            target: finding.target.as_deref().map(fit),
            code: fit(&finding.code),
            what: fit(&finding.what),
            hint: finding.hint.as_deref().map(fit),
        });
        let findings: Vec<NotedFinding> = fitted.collect();
        let findings = serde_json::to_value(findings).unwrap_or_default();
        let statement = sqlx::query(FINDINGS).bind(daemon).bind(findings);
        self.inner.connections.fetch_all(statement).await?;
        Ok(())
    }
}
