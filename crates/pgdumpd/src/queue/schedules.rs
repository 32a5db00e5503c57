//! Schedules: every daemon works out what is due, and the queue makes one job of it.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use uuid::Uuid;

use super::{Queue, QueueError};

const KEEP: &str = include_str!("sql/keep_schedules.sql");
const SETTLE: &str = include_str!("sql/settle_schedule.sql");

/// Up to when a target's schedule is handled.
#[derive(Debug, Clone)]
pub struct KeptSchedule {
    /// The target.
    pub target: String,
    /// The last due time that is handled; at first, when the schedule was first seen.
    pub due_at: DateTime<Utc>,
    /// What time it is by the database's clock.
    pub now: DateTime<Utc>,
}

/// What became of a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// A job was enqueued.
    Enqueued(Uuid),
    /// The target's last scheduled job has not ended: nothing was enqueued.
    Skipped {
        /// That job.
        unfinished: Uuid,
    },
    /// Another daemon was faster, or it is not due by the database's clock.
    Already,
}

impl Queue {
    /// Says which schedule each of these targets has here, if any, and reads up to when each is handled. A new schedule
    /// counts as handled up to now.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn keep_schedules(
        &self,
        targets: &[String],
        schedules: &[Option<String>],
    ) -> Result<Vec<KeptSchedule>, QueueError> {
        let statement = sqlx::query(KEEP).bind(targets).bind(schedules);
        let rows = self.inner.connections.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                Ok(KeptSchedule {
                    target: row.try_get("target")?,
                    due_at: row.try_get("due_at")?,
                    now: row.try_get("now")?,
                })
            })
            .collect()
    }

    /// Settles a due time: however many daemons do so, one job is enqueued for it.
    ///
    /// # Errors
    /// The database's; may be repeated.
    pub async fn settle_schedule(
        &self,
        target: &str,
        schedule: &str,
        due_at: DateTime<Utc>,
    ) -> Result<Settled, QueueError> {
        let statement = sqlx::query(SETTLE).bind(target).bind(schedule).bind(due_at);
        let Some(row) = self.inner.connections.fetch_optional(statement).await? else {
            return Ok(Settled::Already);
        };
        if let Some(job) = row.try_get("job_id")? {
            return Ok(Settled::Enqueued(job));
        }
        let unfinished: Option<Uuid> = row.try_get("unfinished")?;
        Ok(
            unfinished.map_or(Settled::Already, |unfinished| Settled::Skipped {
                unfinished,
            }),
        )
    }
}
