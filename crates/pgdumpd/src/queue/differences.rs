//! What targets mean to each daemon, and where daemons differ.

use std::fmt;

use serde_json::Value;
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const DIFFERENCES: &str = include_str!("sql/target_differences.sql");
const SHOW: &str = include_str!("sql/show_target_settings.sql");

/// Two daemons that are alive and mean different things by one target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The target's name.
    pub target: String,
    /// In which settings they differ.
    pub settings: Vec<String>,
    /// One of them: `host (pid 123)`.
    pub daemon: String,
    /// The other one.
    pub other: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            settings,
            daemon,
            other,
        } = self;
        let settings = settings.join(", ");
        write!(
            f,
            "daemons {daemon} and {other} differ about target \"{target}\": {settings}"
        )
    }
}

impl Queue {
    /// Shows the others what each target means to this daemon, as [`Queue::register`] does at each heartbeat.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn show_target_settings(
        &self,
        worker: Uuid,
        settings: &Value,
    ) -> Result<(), QueueError> {
        let statement = sqlx::query(SHOW).bind(worker).bind(settings);
        self.inner.connections.fetch_all(statement).await.map(drop)
    }

    /// Where daemons that are alive differ: this one and others, or any two.
    ///
    /// # Errors
    /// The database's.
    pub async fn differences(&self, worker: Option<Uuid>) -> Result<Vec<Difference>, QueueError> {
        let statement = sqlx::query(DIFFERENCES).bind(worker);
        let rows = self.inner.connections.fetch_all(statement).await?;
        let differences = rows.iter().map(|row| {
            let daemon = |host: &str, pid: &str| -> Result<String, sqlx::Error> {
                let (host, pid): (String, i32) = (row.try_get(host)?, row.try_get(pid)?);
                Ok(format!("{host} (pid {pid})"))
            };
            Ok(Difference {
                target: row.try_get("target")?,
                settings: row.try_get("settings")?,
                daemon: daemon("host", "pid")?,
                other: daemon("other_host", "other_pid")?,
            })
        });
        differences
            .collect::<Result<_, sqlx::Error>>()
            .map_err(QueueError::from)
    }
}
