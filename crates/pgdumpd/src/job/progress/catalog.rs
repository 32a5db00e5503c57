//! How far a dump is before its first byte, while pg_dump reads the catalogs and takes its locks.
//!
//! pg_dump says nothing of it. What it takes is known from the number of tables, and pg_dump 14, which asks for columns
//! and indexes table by table, shows in its session's statement at which table it is.

use std::time::{Duration, Instant};

use super::estimate::{Bar, Estimate, Passed};
use super::sampling::Weights;
use super::tracker::{AGE, Progress};
use crate::server::{SessionState, Sizes};

/// What pg_dump takes for a database without tables, and for each table, in seconds.
const SECONDS: f64 = 0.1;
const SECONDS_OF_A_TABLE: f64 = 0.15e-3;
/// For each table if it asks table by table.
const SECONDS_OF_A_TABLE_ASKED: f64 = 1.7e-3;
/// Where in the phase, 0 to 1, pg_dump 14 asks for the columns of its tables, one after the other, and then for their
/// indexes. Measured with 7,000 tables.
const COLUMNS: (f64, f64) = (0.08, 0.44);
const INDEXES: (f64, f64) = (0.44, 0.97);
/// Seconds after which the phase's own timing is trusted more than what was expected.
const LEARNING_SECONDS: f64 = 1.0;
/// How many times what is left of it by then a phase is taken to go on that should be over.
const OVERDUE: f64 = 0.25;
/// After so many times what was expected, time that passes says nothing more.
const LONGEST: f64 = 3.0;

/// The state of the phase.
#[derive(Debug)]
pub(in crate::job) struct CatalogPhase {
    /// The tables, as pg_dump takes them one after the other.
    oids: Vec<i64>,
    /// How long the job took before.
    before: f64,
    looked_at: Instant,
    /// The time that it took so far, without waits for locks.
    spent: f64,
    /// How far it is, 0 to 1, where that shows.
    part: Option<f64>,
}

impl CatalogPhase {
    /// Of these tables, beginning `now` when the job has taken `before`.
    pub(in crate::job) fn new(sizes: &Sizes, before: Duration, now: Instant) -> Self {
        let mut oids: Vec<i64> = sizes.tables.iter().map(|table| table.oid).collect();
        oids.sort_unstable();
        Self {
            oids,
            before: before.as_secs_f64(),
            looked_at: now,
            spent: 0.0,
            part: None,
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
        let moves = session.and_then(|session| self.part_at(session));
        let has_moved = moves > self.part;
        if has_moved {
            self.part = moves;
        }
        let waits = session.is_some_and(|session| session.waiting_for_lock.is_some());
        if !waits && (has_moved || self.spent < LONGEST * self.expected()) {
            self.spent += passed;
        }
        let mut loads: Vec<_> = weights
            .sizes
            .tables
            .iter()
            .map(|size| weights.of_table(size))
            .collect();
        if weights.sizes.large_objects > 0 {
            loads.push(weights.of_large_objects(1));
        }
        let data = Estimate::new(loads).remaining(&Passed::default());
        let remaining = self.remaining() + data;
        // What is left is less certain than in the data's flow: a phase that is short is not taken to be over.
        let ahead = AGE.min(remaining / 2.0);
        Progress {
            share: bar.advance(self.before + self.spent + ahead, remaining - ahead),
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
        }
    }

    /// Seconds that the whole phase should take.
    fn expected(&self) -> f64 {
        let of_a_table = match self.part {
            Some(_) => SECONDS_OF_A_TABLE_ASKED,
            None => SECONDS_OF_A_TABLE,
        };
        SECONDS + of_a_table * self.oids.len() as f64
    }

    /// Seconds until it is over.
    fn remaining(&self) -> f64 {
        let expected = self.expected();
        match self.part {
            Some(part) => {
                let own = self.spent / part.max(0.01);
                let weight = self.spent / (self.spent + LEARNING_SECONDS);
                (own * weight + expected * (1.0 - weight)) * (1.0 - part)
            }
            None => (expected - self.spent).max(self.spent.min(expected) * OVERDUE),
        }
    }

    /// Where in the phase the session is, if it shows.
    fn part_at(&self, session: &SessionState) -> Option<f64> {
        let asked = session.asks_of?;
        let (from, to) = if asked.indexes { INDEXES } else { COLUMNS };
        let passed = self.oids.partition_point(|oid| *oid < asked.table);
        Some(from + (to - from) * passed as f64 / self.oids.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{AsksOf, LockWait, TableSize};

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

    fn asks_of(table: i64, indexes: bool) -> SessionState {
        SessionState {
            asks_of: Some(AsksOf { table, indexes }),
            ..SessionState::default()
        }
    }

    /// Shares at each tenth of a second, of a session that shows this.
    fn shares(sizes: &Sizes, steps: u32, session: impl Fn(f64) -> SessionState) -> Vec<f64> {
        let began = Instant::now();
        let mut phase = CatalogPhase::new(sizes, Duration::ZERO, began);
        let (weights, mut bar) = (Weights::new(sizes), Bar::default());
        let at = |step: u32| began + Duration::from_millis(100) * step;
        (1..=steps)
            .map(|step| {
                let session = session(f64::from(step) / f64::from(steps));
                phase
                    .update(at(step), Some(&session), &weights, &mut bar)
                    .share
            })
            .collect()
    }

    #[test]
    fn the_tables_that_a_session_asks_of_one_after_the_other_are_the_bar() {
        let sizes = sizes(7000);
        // 24 seconds, twice what is expected: a third for the columns, two thirds for the indexes.
        let shares = shares(&sizes, 240, |part| match part {
            part if part < 0.45 => asks_of((part / 0.45 * 7000.0) as i64, false),
            part => asks_of(((part - 0.45) / 0.55 * 7000.0) as i64, true),
        });
        let distance = |step: usize| (shares[step] - (step + 1) as f64 / 240.0).abs();
        let mean = (0..240).map(distance).sum::<f64>() / 240.0;
        assert!(mean < 0.10, "{mean}: {shares:?}");
        assert!(shares.is_sorted());
    }

    #[test]
    fn a_session_that_waits_for_a_lock_moves_nothing() {
        let sizes = sizes(10);
        let waits = || SessionState {
            waiting_for_lock: Some(LockWait {
                relation: None,
                since_epoch_us: None,
                blockers: Vec::new(),
            }),
            ..SessionState::default()
        };
        let shares = shares(&sizes, 600, |_| waits());
        assert_eq!(shares.first(), shares.last());
    }

    #[test]
    fn a_phase_that_does_not_end_stands_still_far_from_the_end() {
        let shares = shares(&sizes(10), 600, |_| SessionState::default());
        assert_eq!(shares[100], shares[599]);
    }
}
