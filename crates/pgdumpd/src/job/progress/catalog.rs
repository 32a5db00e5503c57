//! How far a dump is before its first byte, while pg_dump reads the catalogs and takes its locks.
//!
//! pg_dump says nothing of it, and its session's statements are longer than what the server shows of them. So the time
//! itself is all there is: how long the phase takes is known about from the number of tables.

use std::time::{Duration, Instant};

use super::estimate::{Bar, Estimate, Passed};
use super::sampling::Weights;
use super::tracker::{AGE, Progress};
use crate::server::SessionState;

/// What pg_dump takes for a database without tables, in seconds.
const SECONDS: f64 = 0.1;
/// And for each table. Before version 15 it asks for the columns and the indexes of each table by themselves. Measured
/// with 7,000 tables on the same machine.
const SECONDS_OF_A_TABLE: f64 = 0.15e-3;
const SECONDS_OF_A_TABLE_BEFORE_15: f64 = 1.2e-3;
/// The first version that asks for all tables at once.
const ASKS_AT_ONCE: u32 = 15;
/// For how long a phase is taken to go on that should be over, as a share of what was expected.
const OVERDUE: f64 = 0.25;
/// After so many times what was expected, time that passes says nothing more.
const LONGEST: f64 = 3.0;

/// The state of the phase.
#[derive(Debug)]
pub(in crate::job) struct CatalogPhase {
    /// How long it should take, in seconds.
    expected: f64,
    /// How long the job took before.
    before: f64,
    looked_at: Instant,
    /// The time that it took so far, without waits for locks.
    spent: f64,
}

impl CatalogPhase {
    /// Of so many tables and this major version of pg_dump, beginning `now` when the job has taken `before`.
    pub(in crate::job) fn new(tables: usize, major: u32, before: Duration, now: Instant) -> Self {
        let of_a_table = match major {
            ASKS_AT_ONCE.. => SECONDS_OF_A_TABLE,
            _ => SECONDS_OF_A_TABLE_BEFORE_15,
        };
        Self {
            expected: SECONDS + of_a_table * tables as f64,
            before: before.as_secs_f64(),
            looked_at: now,
            spent: 0.0,
        }
    }

    /// How far the job is.
    pub(in crate::job) fn update(
        &mut self,
        now: Instant,
        session: Option<&SessionState>,
        weights: &Weights<'_>,
        bar: &mut Bar,
    ) -> Progress {
        let passed = now.saturating_duration_since(self.looked_at).as_secs_f64();
        self.looked_at = now;
        let waits = session.is_some_and(|session| session.waiting_for_lock.is_some());
        if !waits && self.spent < LONGEST * self.expected {
            self.spent += passed;
        }
        let tables = weights.sizes.tables.iter();
        let mut loads: Vec<_> = tables.map(|size| weights.of_table(size)).collect();
        if weights.sizes.large_objects > 0 {
            loads.push(weights.of_large_objects(1));
        }
        let data = Estimate::new(loads).remaining(&Passed::default());
        let overdue = self.spent.min(self.expected) * OVERDUE;
        let remaining = (self.expected - self.spent).max(overdue) + data;
        // What is left is less certain than in the data's flow: a phase that is short is not taken to be over.
        let ahead = AGE.min(remaining / 2.0);
        Progress {
            share: bar.advance(self.before + self.spent + ahead, remaining - ahead),
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{LockWait, Sizes, TableSize};

    fn sizes(tables: i64) -> Sizes {
        let table = |oid| TableSize {
            schema: "public".to_owned(),
            name: format!("t{oid}"),
            oid,
            bytes: 8192,
            estimated_rows: Some(20),
        };
        Sizes {
            tables: (1..=tables).map(table).collect(),
            large_objects: 0,
        }
    }

    /// Shares at each tenth of a second, with pg_dump 14.
    fn shares(tables: i64, steps: u32, session: &SessionState) -> Vec<f64> {
        let (sizes, began) = (sizes(tables), Instant::now());
        let mut phase = CatalogPhase::new(sizes.tables.len(), 14, Duration::ZERO, began);
        let (weights, mut bar) = (Weights::new(&sizes), Bar::default());
        let at = |step: u32| began + Duration::from_millis(100) * step;
        (1..=steps)
            .map(|step| {
                let progress = phase.update(at(step), Some(session), &weights, &mut bar);
                progress.share
            })
            .collect()
    }

    #[test]
    fn the_catalogs_of_many_tables_move_the_bar() {
        // As measured: 7.5 of 8 seconds.
        let shares = shares(7000, 75, &SessionState::default());
        let distance = |step: usize| (shares[step] - (step + 1) as f64 / 80.0).abs();
        let mean = (0..75).map(distance).sum::<f64>() / 75.0;
        assert!(mean < 0.2, "{mean}: {shares:?}");
        assert!(shares.is_sorted());
    }

    #[test]
    fn a_session_that_waits_for_a_lock_moves_nothing() {
        let waits = SessionState {
            waiting_for_lock: Some(LockWait {
                relation: None,
                since_epoch_us: None,
                blockers: Vec::new(),
            }),
            ..SessionState::default()
        };
        let shares = shares(10, 600, &waits);
        assert_eq!(shares.first(), shares.last());
    }

    #[test]
    fn a_phase_that_does_not_end_stands_still() {
        let shares = shares(10, 600, &SessionState::default());
        assert_eq!(shares[100], shares[599]);
    }
}
