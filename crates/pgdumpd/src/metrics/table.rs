//! Every metric: its name, its labels and what it means. The only list for those who set them and for the document.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric as Registered, Registry};

/// The labels of one series.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many fell into each bucket.
    Histogram,
}

impl Kind {
    /// As the `# TYPE` line has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// As it is exported.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels. Each has few values: none is a job's id, and none is a text that an application chooses.
    pub labels: &'static [&'static str],
    /// What it means, without a final period.
    pub help: &'static str,
}

impl Metric {
    /// The labels of the series with these values, in the order of [`Metric::labels`].
    pub(crate) fn labelled<const N: usize>(&self, values: [Cow<'static, str>; N]) -> Labels {
        debug_assert_eq!(self.labels.len(), N, "{}", self.name);
        self.labels.iter().copied().zip(values).collect()
    }

    /// Adds it to a registry, which writes the end of a counter's name itself.
    pub(crate) fn register(&self, registry: &mut Registry, metric: impl Registered) {
        let name = match metric.metric_type() {
            MetricType::Counter => self.name.trim_end_matches("_total"),
            _ => self.name,
        };
        registry.register(name, self.help, metric);
    }
}

/// So that labels are never anything else.
const _: fn() = || {
    fn is_encoded(_: impl EncodeLabelSet) {}
    is_encoded(Labels::new());
};

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $labels:tt $help:literal,)+) => {
        $(
            #[doc = $help]
            pub(crate) const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &$labels,
                help: $help,
            };
        )+

        /// All of them, in the order of the document.
        pub const ALL: &[Metric] = &[$($constant,)+];
    };
}

metrics! {
    TARGET_LAST_SUCCESS = Gauge "pgdumpd_target_last_success_timestamp_seconds" ["target"]
        "When the target's last successful backup ended, as a Unix time by the queue's clock",
    TARGET_LAST_FAILURE = Gauge "pgdumpd_target_last_failure_timestamp_seconds" ["target"]
        "When a backup of the target last ended as failed, after its last attempt",
    TARGET_LAST_PROVED = Gauge "pgdumpd_target_last_proved_timestamp_seconds" ["target"]
        "When pgdumpd verify or rehearse last found a stored backup of the target whole",
    TARGET_ALERT_AFTER = Gauge "pgdumpd_target_alert_after_seconds" ["target"]
        "How old the target's last successful backup may be, as its alert_after says",
    TARGET_LAST_SIZE = Gauge "pgdumpd_target_last_size_bytes" ["target"]
        "Size of the target's last successful backup, as it is stored",
    TARGET_LAST_DURATION = Gauge "pgdumpd_target_last_duration_seconds" ["target"]
        "How long the last attempt of the target's last successful backup ran",
    TARGET_JOBS = Gauge "pgdumpd_target_jobs" ["target", "state"]
        "Backups of the target that are queued or running",
    TARGET_DAEMONS = Gauge "pgdumpd_target_daemons" ["target"]
        "Daemons that are alive and serve the target",
    JOBS = Gauge "pgdumpd_jobs" ["kind", "state"]
        "Jobs that are queued or running",
    JOBS_OLDEST_DUE = Gauge "pgdumpd_jobs_oldest_due_timestamp_seconds" ["kind"]
        "Since when the longest waiting job has been due; missing if none waits",
    STORAGE_BACKUPS = Gauge "pgdumpd_storage_backups" ["storage"]
        "Backups and copies that the storage holds, as the queue knows it",
    STORAGE_STORED_BYTES = Gauge "pgdumpd_storage_stored_bytes" ["storage"]
        "Size of the backups and copies that the storage holds",
    DAEMONS = Gauge "pgdumpd_daemons" ["state"]
        "Daemons of the queue that are alive, stopping or gone",
    QUEUE_UP = Gauge "pgdumpd_queue_up" []
        "1 if the queue answered; with 0 all metrics above are missing",
    RUNNING_JOBS = Gauge "pgdumpd_running_jobs" ["kind"]
        "Jobs that this daemon is running",
    CLAIMS = Counter "pgdumpd_claims_total" ["kind"]
        "Jobs that this daemon claimed",
    CLAIM_ERRORS = Counter "pgdumpd_claim_errors_total" []
        "Times that this daemon could not ask the queue for jobs",
    ATTEMPTS = Counter "pgdumpd_attempts_total" ["kind", "outcome"]
        "Attempts of this daemon that ended, by how they ended",
    ATTEMPT_DURATION = Histogram "pgdumpd_attempt_duration_seconds" ["kind", "outcome"]
        "How long attempts of this daemon ran, from the claim to the written end",
    ATTEMPT_FAILURES = Counter "pgdumpd_attempt_failures_total" ["kind", "step", "code"]
        "Attempts of this daemon that failed, by step and error code",
    LEASES_LOST = Counter "pgdumpd_leases_lost_total" []
        "Attempts that this daemon abandoned because it had lost the lease",
    DUMPED_BYTES = Counter "pgdumpd_dumped_bytes_total" []
        "What pg_dump wrote in successful attempts of this daemon",
    STORED_BYTES = Counter "pgdumpd_stored_bytes_total" ["kind"]
        "What successful attempts of this daemon stored",
    STORAGE_ERRORS = Counter "pgdumpd_storage_errors_total" ["storage", "code"]
        "Attempts, sources of copies and deletions of this daemon that failed because of a storage",
    NOTIFICATIONS = Counter "pgdumpd_notifications_total" ["receiver", "outcome"]
        "Tries of this daemon to send a message, by how they ended",
    CHECK_FINDINGS = Gauge "pgdumpd_check_findings" ["severity"]
        "What this daemon's last round of checks found",
    BUILD_INFO = Gauge "pgdumpd_build_info" ["version"]
        "1, with the daemon's version",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_follow_the_rules() {
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("pgdumpd_"), "{name}");
            let is_counter = metric.kind == Kind::Counter;
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(!metric.help.ends_with('.'), "{name}");
            for label in metric.labels {
                let known = [
                    "target", "storage", "state", "kind", "outcome", "step", "code", "severity",
                    "version", "receiver",
                ];
                assert!(known.contains(label), "{name}: {label} may be unbounded");
            }
        }
    }
}
