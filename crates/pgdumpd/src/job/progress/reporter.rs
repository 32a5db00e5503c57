//! What a job says of itself: phase, percentage, message. Written into the row by the heartbeat and, at each
//! change of phase and each whole 5 %, into the log as `event=BACKUP_PROGRESS`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use crate::queue::Progress;
use crate::telemetry::BACKUP_PROGRESS;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::job) enum Phase {
    /// Connecting to the target and the storage; cleaning up after earlier attempts.
    Preparing,
    /// A stored backup's bytes flow to another storage.
    CopyJob,
    /// pg_dump reads the catalogs and takes its locks; no byte has come yet.
    Catalog,
    /// Rows flow.
    Data,
    /// The rows are through; pg_dump ends, the last parts are stored.
    Finishing,
    /// The object and the manifest become visible.
    Publishing,
}

impl Phase {
    /// As the row says it.
    pub(in crate::job) fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::CopyJob => "copying",
            Self::Catalog => "catalog",
            Self::Data => "data",
            Self::Finishing => "finishing",
            Self::Publishing => "publishing",
        }
    }

    /// The percentages that a phase keeps to.
    fn range(self) -> (f32, f32) {
        match self {
            Self::Preparing => (0.0, 0.0),
            Self::CopyJob => (0.0, 99.0),
            Self::Catalog => (0.0, 97.0),
            Self::Data => (0.0, 98.0),
            Self::Finishing => (98.0, 99.0),
            Self::Publishing => (99.0, 99.9),
        }
    }
}

/// The counts that go with a percentage.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::job) struct Counts {
    /// `schema.table` whose data flows.
    pub(in crate::job) current_table: Option<String>,
    /// Tables whose data is complete.
    pub(in crate::job) tables_done: Option<i32>,
    /// Tables whose data will come.
    pub(in crate::job) tables_total: Option<i32>,
    /// Rows so far.
    pub(in crate::job) rows_done: Option<i64>,
    /// Rows that the target's server estimates, never fewer than have passed.
    pub(in crate::job) rows_expected: Option<i64>,
    /// Bytes from pg_dump.
    pub(in crate::job) bytes_dumped: Option<i64>,
    /// Bytes handed to the storage.
    pub(in crate::job) bytes_stored: Option<i64>,
}

/// Collects a job's progress. The percentage never falls.
#[derive(Debug)]
pub(in crate::job) struct Reporter {
    job: Uuid,
    began: Instant,
    state: Mutex<State>,
    changed: Notify,
    /// Whether no table may be named.
    nameless: AtomicBool,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Instead of the phase's own words.
    message: Option<String>,
    percent: f32,
    counts: Counts,
    remaining: Option<Duration>,
    logged: i32,
}

impl Reporter {
    /// At 0 %, preparing.
    pub(in crate::job) fn new(job: Uuid) -> Self {
        let state = State {
            phase: Phase::Preparing,
            message: None,
            percent: 0.0,
            counts: Counts::default(),
            remaining: None,
            logged: 0,
        };
        Self {
            job,
            began: Instant::now(),
            state: Mutex::new(state),
            changed: Notify::new(),
            nameless: AtomicBool::new(false),
        }
    }

    /// From now on names no table.
    pub(in crate::job) fn withhold_names(&self) {
        self.nameless.store(true, Ordering::Relaxed);
    }

    /// Whether no table may be named.
    pub(in crate::job) fn names_are_withheld(&self) -> bool {
        self.nameless.load(Ordering::Relaxed)
    }

    /// Enters a phase.
    pub(in crate::job) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        if phase <= state.phase && phase != Phase::Preparing {
            return;
        }
        state.phase = phase;
        state.message = None;
        state.percent = state.percent.max(phase.range().0);
        if phase > Phase::Data {
            state.counts.current_table = None;
        }
        if phase > Phase::Data {
            state.remaining = None;
        }
        self.say(&mut state, true);
    }

    /// Reports how far the job is, as a share of 0 to 1, with the time left and the counts. The phase that it is in
    /// keeps the percentage to its range.
    pub(in crate::job) fn advance(&self, share: f64, remaining: Option<Duration>, counts: Counts) {
        let mut state = self.lock();
        let (from, to) = state.phase.range();
        let percent = (100.0 * share.clamp(0.0, 1.0) as f32).clamp(from, to);
        // One decimal: more would only make the row look busier than it is.
        state.percent = state.percent.max((percent * 10.0).floor() / 10.0);
        state.counts = counts;
        if self.names_are_withheld() {
            state.counts.current_table = None;
        }
        state.remaining = remaining;
        self.say(&mut state, false);
    }

    /// How long ago the attempt began.
    pub(in crate::job) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Reports what a job does in the present phase that the phase's own words do not fit.
    pub(in crate::job) fn explain(&self, message: String) {
        let mut state = self.lock();
        state.message = Some(message);
        self.say(&mut state, false);
    }

    /// Reports how much of a copy has been stored.
    pub(in crate::job) fn copied(&self, to: &str, done: u64, total: u64) {
        let counts = Counts {
            bytes_stored: i64::try_from(done).ok(),
            ..Counts::default()
        };
        self.lock().message = Some(format!("copying to {to} ({})", done_of(done, total)));
        let share = if total == 0 {
            1.0
        } else {
            done as f64 / total as f64
        };
        let remaining = remaining(self.elapsed(), share);
        self.advance(share, remaining, counts);
    }

    /// What the row should say now.
    pub(in crate::job) fn progress(&self) -> Progress {
        let state = self.lock();
        Progress {
            phase: state.phase.as_str().to_owned(),
            percent: state.percent,
            message: message(&state),
            current_table: state.counts.current_table.clone(),
            tables_done: state.counts.tables_done,
            tables_total: state.counts.tables_total,
            rows_done: state.counts.rows_done,
            rows_expected: state.counts.rows_expected,
            bytes_dumped: state.counts.bytes_dumped,
            bytes_stored: state.counts.bytes_stored,
            remaining: state.remaining,
        }
    }

    /// Waits until there is something new to say.
    pub(in crate::job) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn say(&self, state: &mut State, new_phase: bool) {
        let fives = (state.percent / 5.0).floor() as i32;
        if new_phase || fives > state.logged {
            state.logged = state.logged.max(fives);
            info!(
                event = %BACKUP_PROGRESS,
                job.id = %self.job,
                // A number in JSON, with one decimal.
                progress.percent = (f64::from(state.percent) * 10.0).round() / 10.0,
                progress.phase = state.phase.as_str(),
                "{}",
                message(state)
            );
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time left, from the time taken for `share`; none while that says too little.
fn remaining(elapsed: Duration, share: f64) -> Option<Duration> {
    (share >= 0.02 && elapsed >= Duration::from_millis(500))
        .then(|| elapsed.mul_f64((1.0 - share).max(0.0) / share))
}

/// Such as `1.2 of 3.4 GB`, in the unit of the larger number.
fn done_of(done: u64, total: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut unit, mut size) = (0, 1.0);
    while total as f64 / size >= 1000.0 && unit + 1 < UNITS.len() {
        unit += 1;
        size *= 1000.0;
    }
    let digits = usize::from(unit > 0);
    format!(
        "{:.digits$} of {:.digits$} {}",
        done as f64 / size,
        total as f64 / size,
        UNITS[unit]
    )
}

fn message(state: &State) -> String {
    if let Some(message) = &state.message {
        return message.clone();
    }
    match state.phase {
        Phase::CopyJob => "copying to another storage".to_owned(),
        Phase::Preparing => "connecting to the target and the storage".to_owned(),
        Phase::Catalog => "pg_dump reads the catalogs and takes its locks".to_owned(),
        Phase::Data => {
            let table = state.counts.current_table.as_deref().unwrap_or("data");
            match (state.counts.tables_done, state.counts.tables_total) {
                (Some(done), Some(total)) => {
                    format!("dumping {table} ({done} of {total} tables done)")
                }
                _ => format!("dumping {table}"),
            }
        }
        Phase::Finishing => "all data is written: waiting for pg_dump to exit".to_owned(),
        Phase::Publishing => "publishing the archive and its manifest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let reporter = Reporter::new(Uuid::nil());
        reporter.enter(Phase::Data);
        reporter.enter(Phase::Catalog);
        assert_eq!(reporter.progress().phase, "data");
    }

    #[test]
    fn a_reporter_that_withholds_names_still_counts() {
        let counts = || Counts {
            current_table: Some("app.secret".to_owned()),
            tables_done: Some(2),
            tables_total: Some(20),
            ..Counts::default()
        };
        let reporter = Reporter::new(Uuid::nil());
        reporter.enter(Phase::Data);
        reporter.advance(0.1, None, counts());
        assert!(reporter.progress().message.contains("app.secret"));
        reporter.withhold_names();
        reporter.advance(0.2, None, counts());
        let progress = reporter.progress();
        assert_eq!(progress.message, "dumping data (2 of 20 tables done)");
        assert_eq!(progress.current_table, None);
        assert_eq!(progress.tables_done, Some(2));
    }

    #[test]
    fn a_copys_message_names_storage_and_bytes() {
        let reporter = Reporter::new(Uuid::nil());
        reporter.enter(Phase::CopyJob);
        reporter.copied("offsite", 1_234_000_000, 3_400_000_000);
        let progress = reporter.progress();
        assert_eq!(progress.message, "copying to offsite (1.2 of 3.4 GB)");
        assert_eq!(progress.bytes_stored, Some(1_234_000_000));
        assert!((35.0..36.5).contains(&progress.percent), "{progress:?}");
        reporter.enter(Phase::Publishing);
        assert_eq!(
            reporter.progress().message,
            "publishing the archive and its manifest"
        );
        assert_eq!(done_of(0, 0), "0 of 0 B");
        assert_eq!(done_of(999, 999), "999 of 999 B");
        assert_eq!(done_of(1, 1000), "0.0 of 1.0 kB");
    }

    #[test]
    fn the_time_left_is_reported_once_it_can_be_known() {
        assert_eq!(remaining(Duration::from_secs(10), 0.0), None);
        assert_eq!(
            remaining(Duration::from_secs(10), 0.25),
            Some(Duration::from_secs(30))
        );
    }

    proptest! {
        #[test]
        fn the_percentage_never_falls_and_never_reaches_100(shares in prop::collection::vec(-1.0f64..2.0, 1..50)) {
            let reporter = Reporter::new(Uuid::nil());
            reporter.enter(Phase::Data);
            let mut last = 0.0;
            for share in shares {
                reporter.advance(share, None, Counts::default());
                let percent = reporter.progress().percent;
                prop_assert!(percent >= last && percent < 100.0);
                last = percent;
            }
        }
    }
}
