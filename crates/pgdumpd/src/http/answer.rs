//! A backup as HTTP answers it: the same names and values as `clients/typescript/src/answer.ts`.

use chrono::{DateTime, SecondsFormat, Utc};
use pgdumpd_client::{JobState, JobStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// A span of time in whole seconds, and as `0:05` or `1:02:03`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimeSpan {
    /// Whole seconds.
    pub total: i64,
    /// The same as `m:ss` or `h:mm:ss`.
    pub formatted: String,
}

impl TimeSpan {
    fn of_seconds(seconds: f64) -> Self {
        // Spans of jobs are far below, and a cast saturates.
        let total = seconds.max(0.0).floor() as i64;
        let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60);
        let formatted = if hours > 0 {
            format!("{hours}:{minutes:02}:{rest:02}")
        } else {
            format!("{minutes}:{rest:02}")
        };
        Self { total, formatted }
    }
}

/// Whether a backup goes on, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Queued or running.
    InProgress,
    /// It exists and was checked.
    Completed,
    /// It was given up.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// A job's state in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits.
    Queued,
    /// A daemon does it.
    Running,
    /// An end.
    Succeeded,
    /// An end.
    Failed,
    /// An end.
    Cancelled,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl State {
    fn outcome(self) -> Outcome {
        match self {
            Self::Queued | Self::Running => Outcome::InProgress,
            Self::Succeeded => Outcome::Completed,
            Self::Failed => Outcome::Failed,
            Self::Cancelled => Outcome::Cancelled,
        }
    }

    /// For a job without a message of its own.
    fn message(self) -> &'static str {
        match self {
            Self::Queued => "Waiting to start",
            Self::Running => "Running",
            Self::Succeeded => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// Tables whose data is complete, and whose data is expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tables {
    /// Complete.
    #[schema(required)]
    pub done: Option<i32>,
    /// Expected.
    #[schema(required)]
    pub total: Option<i32>,
}

/// Rows that have passed, and that are expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rows {
    /// Passed.
    #[schema(required)]
    pub done: Option<i64>,
    /// As the target's server estimates them.
    #[schema(required)]
    pub expected: Option<i64>,
}

/// Bytes that `pg_dump` wrote, and that the storage accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bytes {
    /// Written by `pg_dump`.
    #[schema(required)]
    pub dumped: Option<i64>,
    /// Accepted by the storage.
    #[schema(required)]
    pub stored: Option<i64>,
}

/// Storages that hold the backup, of those that will.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Copies {
    /// Those that hold it.
    pub stored: i64,
    /// Those that hold it or are expected to.
    pub total: i64,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// Of the stored object.
    #[schema(required)]
    pub size_bytes: Option<i64>,
    /// Of the stored object, 64 hexadecimal digits.
    #[schema(required)]
    pub sha256: Option<String>,
    /// The names of the storages that hold it.
    pub storages: Vec<String>,
}

/// Why a backup failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Failure {
    /// A stable word, of docs/ERRORS.md.
    #[schema(required)]
    pub code: Option<String>,
    /// The step that failed.
    #[schema(required)]
    pub step: Option<String>,
    /// What went wrong.
    pub message: String,
    /// What to do, in full sentences.
    #[schema(required)]
    pub hint: Option<String>,
}

/// One backup. Times are of the database's clock, ISO 8601 in UTC with microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupAnswer {
    /// Always true; a problem has false.
    pub success: bool,
    /// The backup's id; of a temporary id, that id.
    pub id: String,
    /// Whether it goes on, and how it ended.
    pub status: Outcome,
    /// Percent, 0 to 100, with one decimal; never falls within an attempt; 100 is success.
    #[schema(minimum = 0, maximum = 100)]
    pub progress: f64,
    /// One line of text for people; English.
    pub message: String,
    /// Of the running attempt so far, or of an ended job.
    pub elapsed_time: TimeSpan,
    /// When the job last changed; null for an id that has no job yet.
    #[schema(required, format = DateTime)]
    pub last_update: Option<String>,
    /// The target's name.
    #[schema(required)]
    pub target: Option<String>,
    /// As asked for.
    #[schema(required)]
    pub label: Option<String>,
    /// The job's state in the queue.
    pub state: State,
    /// What the attempt is doing.
    #[schema(required)]
    pub phase: Option<String>,
    /// The table whose rows are being read.
    #[schema(required)]
    pub current_table: Option<String>,
    /// Tables, done and in all.
    pub tables: Tables,
    /// Rows, done and expected.
    pub rows: Rows,
    /// Bytes, dumped and stored.
    pub bytes: Bytes,
    /// When the attempt will probably end.
    #[schema(required, format = DateTime)]
    pub estimated_end: Option<String>,
    /// Until then.
    #[schema(required)]
    pub time_left: Option<TimeSpan>,
    /// The present or last attempt; 0 before the first.
    pub attempt: i16,
    /// How many attempts there may be.
    pub max_attempts: i16,
    /// 1 is next; 20 means 20 or more; null if it is not queued or not due.
    #[schema(required)]
    pub queue_position: Option<i64>,
    /// Why a queued job does not run yet.
    #[schema(required)]
    pub waits_because: Option<String>,
    /// Whether a cancel was requested.
    pub cancel_requested: bool,
    /// Storages that hold it, of those that will.
    pub copies: Copies,
    /// The first warnings.
    pub warnings: Vec<String>,
    /// When it was asked for.
    #[schema(required, format = DateTime)]
    pub created_at: Option<String>,
    /// When the attempt started.
    #[schema(required, format = DateTime)]
    pub started_at: Option<String>,
    /// When the job ended.
    #[schema(required, format = DateTime)]
    pub finished_at: Option<String>,
    /// After a success: what was stored.
    #[schema(required)]
    pub result: Option<Stored>,
    /// Why it failed, or why its last attempt failed while it waits for the next one.
    #[schema(required)]
    pub error: Option<Failure>,
}

impl BackupAnswer {
    /// Of an id that has no job yet, such as one that a page has invented while it waits for the real one.
    pub fn waiting(id: impl Into<String>) -> Self {
        Self {
            success: true,
            id: id.into(),
            status: Outcome::InProgress,
            progress: 0.0,
            message: State::Queued.message().to_owned(),
            elapsed_time: TimeSpan::of_seconds(0.0),
            last_update: None,
            target: None,
            label: None,
            state: State::Queued,
            phase: None,
            current_table: None,
            tables: Tables::default(),
            rows: Rows::default(),
            bytes: Bytes::default(),
            estimated_end: None,
            time_left: None,
            attempt: 0,
            max_attempts: 0,
            queue_position: None,
            waits_because: None,
            cancel_requested: false,
            copies: Copies::default(),
            warnings: Vec::new(),
            created_at: None,
            started_at: None,
            finished_at: None,
            result: None,
            error: None,
        }
    }

    /// Everything that does not change by itself as time passes: equal for as long as nothing has happened.
    pub fn timeless_text(&self) -> String {
        let timeless = Self {
            elapsed_time: TimeSpan::of_seconds(0.0),
            time_left: None,
            ..self.clone()
        };
        serde_json::to_string(&timeless).expect("an answer is texts and numbers")
    }

    /// After how many seconds it is worth another question: a job that waits for something changes little.
    pub fn retry_after(&self) -> Option<u32> {
        match (self.state, &self.waits_because) {
            (State::Running, _) | (State::Queued, None) => Some(1),
            (State::Queued, Some(_)) => Some(3),
            _ => None,
        }
    }
}

impl From<&JobStatus> for BackupAnswer {
    fn from(job: &JobStatus) -> Self {
        let state = State::from(job.state);
        let message = match state {
            State::Queued => job.waits_because.as_deref(),
            _ => job.message.as_deref(),
        };
        Self {
            success: true,
            id: job.id.to_string(),
            status: state.outcome(),
            progress: rounded_down(job.progress),
            message: message.unwrap_or(state.message()).to_owned(),
            elapsed_time: TimeSpan::of_seconds(job.elapsed_seconds.unwrap_or(0.0)),
            last_update: Some(iso(job.last_update)),
            target: Some(job.target.clone()),
            label: job.label.clone(),
            state,
            phase: job.phase.clone(),
            current_table: job.current_table.clone(),
            tables: Tables {
                done: job.tables_done,
                total: job.tables_total,
            },
            rows: Rows {
                done: job.rows_done,
                expected: job.rows_expected,
            },
            bytes: Bytes {
                dumped: job.bytes_dumped,
                stored: job.bytes_stored,
            },
            estimated_end: job.estimated_end.map(iso),
            time_left: seconds_left(job).map(TimeSpan::of_seconds),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            queue_position: job.queue_position,
            waits_because: job.waits_because.clone(),
            cancel_requested: job.cancel_requested_at.is_some(),
            copies: Copies {
                stored: job.copies_stored,
                total: job.copies_total,
            },
            warnings: job.warnings.clone(),
            created_at: Some(iso(job.created_at)),
            started_at: job.started_at.map(iso),
            finished_at: job.finished_at.map(iso),
            result: (state == State::Succeeded).then(|| Stored {
                size_bytes: job.size_bytes,
                sha256: job.sha256.clone(),
                storages: job
                    .stored_in
                    .iter()
                    .map(|place| place.storage.clone())
                    .collect(),
            }),
            error: job.error.clone().map(|message| Failure {
                code: job.error_code.clone(),
                step: job.error_step.clone(),
                message,
                hint: job.error_hint.clone(),
            }),
        }
    }
}

/// Until the estimated end, by the database's clock: the attempt's start and what has passed since give its present.
fn seconds_left(job: &JobStatus) -> Option<f64> {
    let (end, start) = (job.estimated_end?, job.started_at?);
    if job.finished_at.is_some() {
        return None;
    }
    let whole = (end - start).as_seconds_f64();
    Some((whole - job.elapsed_seconds?).max(0.0))
}

/// One decimal, rounded down: 100 is success and nothing else.
fn rounded_down(percent: f32) -> f64 {
    // By way of its shortest text, as JSON has it: 42.3 as a float of 32 bits is a little less than 42.3.
    let exact: f64 = percent
        .to_string()
        .parse()
        .unwrap_or_else(|_| f64::from(percent));
    (exact * 10.0).floor() / 10.0
}

/// With microseconds, so that texts sort as times.
pub(super) fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_people_write_them() {
        for (seconds, text) in [(0.9, "0:00"), (65.0, "1:05"), (3723.4, "1:02:03")] {
            assert_eq!(TimeSpan::of_seconds(seconds).formatted, text);
        }
    }

    #[test]
    fn percentages_are_rounded_down_from_the_text_that_json_has() {
        for (percent, shown) in [(42.3, 42.3), (99.99, 99.9), (100.0, 100.0), (0.06, 0.0)] {
            let shown: f64 = shown;
            assert_eq!(rounded_down(percent).to_bits(), shown.to_bits());
        }
    }
}
