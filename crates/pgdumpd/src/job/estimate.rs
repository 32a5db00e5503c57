//! How far a dump is, from what has passed and what the tables weigh: pure arithmetic.
//!
//! Each table that owes data weighs its bytes on disk and a little for itself. A finished table counts
//! whole. The table at hand counts by its rows where the server has an estimate of them that still holds, else by
//! its COPY bytes against its size on disk, scaled by what the finished tables taught (COPY text is not heap).

/// A table with this many bytes less on disk would still cost something: its round trips.
const COST_OF_A_TABLE: f64 = 16.0 * 1024.0;
/// The table at hand never counts as whole before it is.
const MOST_OF_A_TABLE: f64 = 0.98;
/// Bytes on disk that must have been learnt from before the learnt ratio is trusted alone.
const LEARNING: f64 = 8.0 * 1024.0 * 1024.0;

/// What is known of the table that flows at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Flowing {
    /// Bytes on disk.
    pub(super) table_bytes: u64,
    /// Rows by the server's own estimate.
    pub(super) estimated_rows: Option<i64>,
    /// Rows copied so far.
    pub(super) rows: u64,
    /// Bytes of COPY text so far.
    pub(super) copy_bytes: u64,
}

/// The share of the data that has passed.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    total: f64,
    done: f64,
    learnt_disk: f64,
    learnt_copy: f64,
}

impl Estimate {
    /// For a dump of tables with these sizes on disk, in bytes.
    pub(super) fn new(table_bytes: impl IntoIterator<Item = u64>) -> Self {
        let total = table_bytes.into_iter().map(weight).sum();
        Self {
            total,
            done: 0.0,
            learnt_disk: 0.0,
            learnt_copy: 0.0,
        }
    }

    /// A table's data is complete. `copy_bytes` is its COPY text, where known.
    pub(super) fn finished(&mut self, table_bytes: u64, copy_bytes: Option<u64>) {
        self.done += weight(table_bytes);
        if let Some(copy_bytes) = copy_bytes {
            self.learnt_disk += table_bytes as f64;
            self.learnt_copy += copy_bytes as f64;
        }
    }

    /// The share done, 0 to 1, with the table at hand.
    pub(super) fn share(&self, flowing: Option<&Flowing>) -> f64 {
        if self.total <= 0.0 {
            return 0.0;
        }
        let part = flowing.map_or(0.0, |table| weight(table.table_bytes) * self.part_of(table));
        ((self.done + part) / self.total).clamp(0.0, 1.0)
    }

    fn part_of(&self, table: &Flowing) -> f64 {
        let part = match table.estimated_rows {
            // Fewer than have passed: an estimate that is long out of date.
            Some(rows) if rows > 0 && table.rows <= rows.unsigned_abs() => {
                table.rows as f64 / rows as f64
            }
            _ => {
                let expected = table.table_bytes as f64 * self.ratio();
                if expected > 0.0 {
                    table.copy_bytes as f64 / expected
                } else {
                    0.0
                }
            }
        };
        part.clamp(0.0, MOST_OF_A_TABLE)
    }

    /// COPY bytes for each byte on disk: 1 until something is learnt.
    fn ratio(&self) -> f64 {
        (self.learnt_copy + LEARNING) / (self.learnt_disk + LEARNING)
    }
}

fn weight(table_bytes: u64) -> f64 {
    table_bytes as f64 + COST_OF_A_TABLE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MB: u64 = 1024 * 1024;

    #[test]
    fn finished_tables_add_up_to_the_whole() {
        let mut estimate = Estimate::new([MB, 2 * MB, 0]);
        for size in [MB, 2 * MB, 0] {
            estimate.finished(size, None);
        }
        assert!((estimate.share(None) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rows_tell_how_far_inside_a_table_where_they_are_estimated() {
        let estimate = Estimate::new([100 * MB]);
        let half = Flowing {
            table_bytes: 100 * MB,
            estimated_rows: Some(1000),
            rows: 500,
            copy_bytes: 1,
        };
        assert!((estimate.share(Some(&half)) - 0.5).abs() < 0.01);
    }

    #[test]
    fn an_estimate_that_more_rows_have_passed_is_put_aside() {
        let estimate = Estimate::new([100 * MB]);
        let quarter = Flowing {
            table_bytes: 100 * MB,
            estimated_rows: Some(1000),
            rows: 50_000,
            copy_bytes: 25 * MB,
        };
        assert!((estimate.share(Some(&quarter)) - 0.25).abs() < 0.01);
    }

    #[test]
    fn what_finished_tables_taught_scales_the_next_one() {
        // Tables whose COPY text is half of their size on disk.
        let mut estimate = Estimate::new([1000 * MB, 1000 * MB]);
        estimate.finished(1000 * MB, Some(500 * MB));
        let half = Flowing {
            table_bytes: 1000 * MB,
            copy_bytes: 250 * MB,
            ..Flowing::default()
        };
        assert!(
            (estimate.share(Some(&half)) - 0.75).abs() < 0.01,
            "{}",
            estimate.share(Some(&half))
        );
    }

    proptest! {
        #[test]
        fn a_share_is_always_between_none_and_all(
            sizes in prop::collection::vec(0u64..1 << 45, 0..20),
            finished in prop::collection::vec((0u64..1 << 45, prop::option::of(0u64..1 << 45)), 0..20),
            rows in any::<u64>(), copy_bytes in any::<u64>(), estimated_rows in prop::option::of(any::<i64>()),
        ) {
            let mut estimate = Estimate::new(sizes.iter().copied());
            for (size, copy) in finished {
                estimate.finished(size, copy);
            }
            let flowing = Flowing { table_bytes: sizes.first().copied().unwrap_or(0), estimated_rows, rows, copy_bytes };
            let share = estimate.share(Some(&flowing));
            prop_assert!((0.0..=1.0).contains(&share));
            prop_assert!(share >= estimate.share(None));
        }
    }
}
