//! How far a flowing dump is: what was counted in the data that passed, weighed by the tables' sizes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgdump_archive::{DataKind, Toc, TocEntry};
use tracing::trace;

use super::estimate::{Bar, Estimate, Load, Passed};
use super::reporter::Counts;
use super::sampling::Weights;
use crate::pipeline::{Counted, Meter, Snapshot};
use crate::server::TableSize;

/// The newlines that end COPY data, beside those of its rows.
const END_OF_COPY: u64 = 3;

/// How old a percentage is when it is read, in seconds, on the average: half of the time between two observations and
/// half of the second between two heartbeats. It is reported as of then, which matters in a short dump.
pub(super) const AGE: f64 = 0.75;

/// One entry that owes data, in the order in which the archive delivers.
#[derive(Debug)]
struct Block {
    /// Quoted where SQL would need it, for people.
    name: String,
    has_rows: bool,
    part: Part,
}

/// What of the database is in a block.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The table with this oid.
    Table(i64),
    /// One of N blocks of large objects.
    LargeObjects(usize),
    Unknown,
}

/// The state of one dump's flow.
#[derive(Debug)]
pub(in crate::job) struct Flow {
    blocks: Vec<Block>,
    estimate: Estimate,
    bar: Bar,
    done: usize,
    /// How long the job took before its data began to flow.
    before: Duration,
    /// When the flow was last measured.
    looked_at: Instant,
    bytes_in: u64,
    /// Of all tables, by the server's estimates; `None` while not all are known.
    rows_expected: Option<i64>,
}

/// How far a flow is.
#[derive(Debug, Clone, Copy)]
pub(in crate::job) struct Progress {
    /// Of the whole job's time, 0 to 1.
    pub(in crate::job) share: f64,
    /// Until the data is through.
    pub(in crate::job) remaining: Duration,
}

impl Flow {
    /// For an archive with this table of contents, whose data `began` to flow when the job had taken `before` and the bar
    /// was here. Until it knows the tables' weights, all weigh the same.
    pub(in crate::job) fn new(toc: &Toc, before: Duration, began: Instant, bar: Bar) -> Self {
        let is_large_objects = |entry: &TocEntry| entry.data_kind() == Some(DataKind::LargeObjects);
        // They come in one block or several; how much each holds is not known.
        let shares = toc
            .data_entries()
            .filter(|entry| is_large_objects(entry))
            .count();
        let blocks: Vec<Block> = toc
            .data_entries()
            .map(|entry| Block {
                name: entry.qualified_name(),
                has_rows: entry.is_copy(),
                part: if entry.is_table_data() {
                    Part::Table(entry.oid.into())
                } else if is_large_objects(entry) {
                    Part::LargeObjects(shares)
                } else {
                    Part::Unknown
                },
            })
            .collect();
        let estimate = Estimate::new(vec![Load::default(); blocks.len()]);
        Self {
            blocks,
            estimate,
            bar,
            done: 0,
            before,
            looked_at: began,
            bytes_in: 0,
            rows_expected: None,
        }
    }

    /// Takes in what is known by now of the tables.
    pub(in crate::job) fn weigh(&mut self, weights: &Weights<'_>) {
        let tables = weights.sizes.tables.iter();
        let by_oid: HashMap<i64, &TableSize> = tables.map(|size| (size.oid, size)).collect();
        let rows = |block: &Block| match block.part {
            Part::Table(oid) if block.has_rows => {
                let size = by_oid.get(&oid)?;
                // The server knows no number of an empty table.
                size.estimated_rows.or((size.bytes == 0).then_some(0))
            }
            _ => Some(0),
        };
        self.rows_expected = self.blocks.iter().map(rows).sum();
        let load = |block: &Block| match block.part {
            Part::Table(oid) => {
                let size = by_oid.get(&oid);
                size.map_or_else(Load::default, |size| weights.of_table(size))
            }
            Part::LargeObjects(shares) => weights.of_large_objects(shares),
            Part::Unknown => Load::default(),
        };
        self.estimate
            .reweigh(self.blocks.iter().map(load).collect());
    }

    /// How far the job is, and the counts to report.
    pub(in crate::job) fn update(
        &mut self,
        at: Instant,
        now: &Snapshot,
        meter: &Meter,
    ) -> (Progress, Counts) {
        // Time in which nothing moves brings nobody nearer to the end.
        if now.bytes_in > self.bytes_in {
            let passed = at.saturating_duration_since(self.looked_at);
            self.estimate.spend(passed.as_secs_f64());
        }
        self.bytes_in = now.bytes_in;
        self.looked_at = at;
        let counted = meter.counted_from(self.done);
        for (_, raw_bytes) in self.blocks[self.done..].iter().zip(&counted.blocks) {
            self.estimate.finished(*raw_bytes);
            self.done += 1;
        }
        let at_hand = self.blocks.get(self.done);
        // Those of the end may be among them: never more than there are.
        let rows = match at_hand {
            Some(block) if block.has_rows => counted.so_far.newlines.saturating_sub(END_OF_COPY),
            _ => 0,
        };
        let passed = Passed {
            rows,
            dump_bytes: counted.so_far.raw_bytes,
        };
        let remaining = self.estimate.remaining(&passed);
        let spent = self.before.as_secs_f64() + self.estimate.spent();
        let ahead = AGE.min(remaining);
        trace!(
            block = self.done,
            bytes = counted.so_far.raw_bytes,
            spent_s = spent,
            remaining_s = remaining,
            "flowing"
        );
        let counts = Counts {
            current_table: at_hand.map(|block| block.name.clone()),
            rows_done: i64::try_from(counted.rows + rows).ok(),
            rows_expected: self.rows_expected.map(|expected| {
                let passed = i64::try_from(counted.rows + rows).unwrap_or(i64::MAX);
                expected.max(passed)
            }),
            ..counts(now, &counted)
        };
        let progress = Progress {
            share: self.bar.advance(spent + ahead, remaining - ahead),
            remaining: Duration::try_from_secs_f64(remaining).unwrap_or(Duration::MAX),
        };
        (progress, counts)
    }
}

/// What can be counted without knowing any sizes; nothing of an archive that is not read.
pub(in crate::job) fn counts(now: &Snapshot, counted: &Counted) -> Counts {
    let known = now.toc.is_some();
    Counts {
        current_table: None,
        tables_done: i32::try_from(counted.tables_done).ok().filter(|_| known),
        tables_total: i32::try_from(now.tables_total).ok().filter(|_| known),
        rows_done: i64::try_from(counted.rows).ok().filter(|_| known),
        rows_expected: None,
        bytes_dumped: i64::try_from(now.bytes_in).ok(),
        bytes_stored: i64::try_from(now.bytes_out).ok(),
    }
}
