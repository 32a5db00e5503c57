//! What this process counts. Each count is one atomic addition: nothing here waits, and nothing can fail.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::table::{self, Labels};
use crate::code::Code;

/// From a small database on a fast machine to a day.
const BUCKETS: [f64; 12] = [
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0,
];

const KINDS: [&str; 2] = ["backup", "copy"];

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its backup, or copy, is stored.
    Succeeded,
    /// It failed, and the job with it.
    Failed,
    /// It failed, and the job will be tried again.
    Retried,
    /// Somebody cancelled it, or there was nothing left to do.
    Cancelled,
    /// The daemon stopped, and gave it back.
    Released,
    /// The lease was lost, or the end could not be written.
    Lost,
}

impl Ended {
    const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Retried,
        Self::Cancelled,
        Self::Released,
        Self::Lost,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

/// What became of one try to send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The receiver took it.
    Sent,
    /// It will be tried again.
    Failed,
    /// It was the last try.
    GivenUp,
}

#[derive(Debug, Clone)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// What this process counts.
#[derive(Debug)]
pub struct Counters {
    registry: Registry,
    running: Family<Labels, Gauge>,
    claims: Family<Labels, Counter>,
    claim_errors: Counter,
    attempts: Family<Labels, Counter>,
    durations: Family<Labels, Histogram, Durations>,
    failures: Family<Labels, Counter>,
    leases_lost: Counter,
    dumped: Counter,
    stored: Family<Labels, Counter>,
    storage_errors: Family<Labels, Counter>,
    notifications: Family<Labels, Counter>,
    findings: Family<Labels, Gauge>,
    /// Each target's `alert_after`, where it has one.
    alert_after: Mutex<BTreeMap<String, Duration>>,
}

impl Default for Counters {
    fn default() -> Self {
        let mut counters = Self {
            registry: Registry::default(),
            running: Family::default(),
            claims: Family::default(),
            claim_errors: Counter::default(),
            attempts: Family::default(),
            durations: Family::new_with_constructor(Durations),
            failures: Family::default(),
            leases_lost: Counter::default(),
            dumped: Counter::default(),
            stored: Family::default(),
            storage_errors: Family::default(),
            notifications: Family::default(),
            findings: Family::default(),
            alert_after: Mutex::default(),
        };
        counters.register_all();
        // So that the first of each is seen as a growth.
        for kind in KINDS {
            let _ = counters
                .claims
                .get_or_create(&table::CLAIMS.labelled([kind.into()]));
            let _ = counters
                .stored
                .get_or_create(&table::STORED_BYTES.labelled([kind.into()]));
            for outcome in Ended::ALL {
                let labels = table::ATTEMPTS.labelled([kind.into(), outcome.word().into()]);
                let _ = counters.attempts.get_or_create(&labels);
                let _ = counters.durations.get_or_create(&labels);
            }
        }
        counters
    }
}

impl Counters {
    fn register_all(&mut self) {
        let registry = &mut self.registry;
        table::RUNNING_JOBS.register(registry, self.running.clone());
        table::CLAIMS.register(registry, self.claims.clone());
        table::CLAIM_ERRORS.register(registry, self.claim_errors.clone());
        table::ATTEMPTS.register(registry, self.attempts.clone());
        table::ATTEMPT_DURATION.register(registry, self.durations.clone());
        table::ATTEMPT_FAILURES.register(registry, self.failures.clone());
        table::LEASES_LOST.register(registry, self.leases_lost.clone());
        table::DUMPED_BYTES.register(registry, self.dumped.clone());
        table::STORED_BYTES.register(registry, self.stored.clone());
        table::STORAGE_ERRORS.register(registry, self.storage_errors.clone());
        table::NOTIFICATIONS.register(registry, self.notifications.clone());
        table::CHECK_FINDINGS.register(registry, self.findings.clone());
    }

    /// Writes everything that is counted in Prometheus' text format.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        encode(text, &self.registry)
    }

    /// How many backups and copies run.
    pub fn running(&self, backups: usize, copies: usize) {
        for (kind, count) in KINDS.into_iter().zip([backups, copies]) {
            let labels = table::RUNNING_JOBS.labelled([kind.into()]);
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.running.get_or_create(&labels).set(count);
        }
    }

    /// A job was claimed: `backup` or `copy`.
    pub fn claimed(&self, kind: &'static str) {
        let labels = table::CLAIMS.labelled([kind.into()]);
        self.claims.get_or_create(&labels).inc();
    }

    /// The queue could not be asked for jobs.
    pub fn claim_failed(&self) {
        self.claim_errors.inc();
    }

    /// An attempt ended after this time.
    pub fn ended(&self, kind: &'static str, ended: Ended, after: Duration) {
        let labels = table::ATTEMPTS.labelled([kind.into(), ended.word().into()]);
        self.attempts.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&labels)
            .observe(after.as_secs_f64());
    }

    /// The lease of a running attempt was lost.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// A step of an attempt failed.
    pub fn failed(&self, kind: &'static str, step: &'static str, code: Code) {
        let labels =
            table::ATTEMPT_FAILURES.labelled([kind.into(), step.into(), code.as_str().into()]);
        self.failures.get_or_create(&labels).inc();
    }

    /// An attempt has stored this many bytes; a backup, of what `pg_dump` wrote.
    pub fn stored(&self, kind: &'static str, bytes: u64, dumped: u64) {
        let labels = table::STORED_BYTES.labelled([kind.into()]);
        self.stored.get_or_create(&labels).inc_by(bytes);
        self.dumped.inc_by(dumped);
    }

    /// A storage of the configuration was at fault.
    pub fn storage_failed(&self, storage: &str, code: Code) {
        let storage = Cow::Owned(storage.to_owned());
        let labels = table::STORAGE_ERRORS.labelled([storage, code.as_str().into()]);
        self.storage_errors.get_or_create(&labels).inc();
    }

    /// A message was sent to a receiver of the configuration, or not.
    pub fn told(&self, receiver: &str, told: Told) {
        let outcome = match told {
            Told::Sent => "sent",
            Told::Failed => "failed",
            Told::GivenUp => "given_up",
        };
        let receiver = Cow::Owned(receiver.to_owned());
        let labels = table::NOTIFICATIONS.labelled([receiver, outcome.into()]);
        self.notifications.get_or_create(&labels).inc();
    }

    /// What a round of checks found: how many of each severity.
    pub fn checked(&self, found: impl IntoIterator<Item = (&'static str, usize)>) {
        for (severity, count) in found {
            let labels = table::CHECK_FINDINGS.labelled([severity.into()]);
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.findings.get_or_create(&labels).set(count);
        }
    }

    /// Replaces each target's `alert_after`.
    pub fn set_alert_after(&self, limits: BTreeMap<String, Duration>) {
        *self
            .alert_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Each target's `alert_after`, where it has one.
    pub(crate) fn alert_after(&self) -> BTreeMap<String, Duration> {
        let limits = self.alert_after.lock();
        limits.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
