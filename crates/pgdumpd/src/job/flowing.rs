//! How far a flowing dump is: what was counted in the data that passed, weighed by the tables' sizes.

use std::collections::HashMap;

use pgdump_archive::{DataKind, Toc, TocEntry};

use super::estimate::{Estimate, Flowing};
use super::reporter::Counts;
use crate::pipeline::{Counted, Meter, Snapshot};
use crate::target::{Sizes, TableSize};

/// The newlines that end COPY data, beside those of its rows.
const END_OF_COPY: u64 = 3;

/// One entry that owes data, in the order in which the archive delivers.
#[derive(Debug)]
struct Block {
    /// Quoted where SQL would need it, for people.
    name: String,
    has_rows: bool,
    bytes: u64,
    estimated_rows: Option<i64>,
}

/// The state of one dump's flow.
#[derive(Debug)]
pub(super) struct Flow {
    blocks: Vec<Block>,
    estimate: Estimate,
    done: usize,
}

impl Flow {
    /// For an archive with this table of contents; a table whose size is unknown weighs nothing on disk.
    pub(super) fn new(toc: &Toc, sizes: &Sizes) -> Self {
        let by_oid: HashMap<i64, &TableSize> =
            sizes.tables.iter().map(|size| (size.oid, size)).collect();
        let table_of = |entry: &TocEntry| {
            let size = by_oid.get(&i64::from(entry.oid)).copied();
            size.filter(|_| entry.is_table_data())
        };
        let is_large_objects = |entry: &TocEntry| entry.data_kind() == Some(DataKind::LargeObjects);
        // They come in one block or several; which holds how much is not told.
        let shares = toc
            .data_entries()
            .filter(|entry| is_large_objects(entry))
            .count();
        let share = sizes.large_objects.unsigned_abs() / (shares.max(1) as u64);
        let blocks: Vec<Block> = toc
            .data_entries()
            .map(|entry| {
                let size = table_of(entry);
                let bytes = match size {
                    Some(size) => size.bytes.unsigned_abs(),
                    None if is_large_objects(entry) => share,
                    None => 0,
                };
                Block {
                    name: entry.qualified_name(),
                    has_rows: entry.is_copy(),
                    bytes,
                    estimated_rows: size.and_then(|size| size.estimated_rows),
                }
            })
            .collect();
        let estimate = Estimate::new(blocks.iter().map(|block| block.bytes));
        Self {
            blocks,
            estimate,
            done: 0,
        }
    }

    /// The share of the data that has passed, 0 to 1, and the counts to tell.
    pub(super) fn update(&mut self, now: &Snapshot, meter: &Meter) -> (f64, Counts) {
        let counted = meter.counted_from(self.done);
        for (block, raw_bytes) in self.blocks[self.done..].iter().zip(&counted.blocks) {
            self.estimate.finished(block.bytes, Some(*raw_bytes));
            self.done += 1;
        }
        let at_hand = self.blocks.get(self.done);
        // Those of the end may be among them: never more than there are.
        let rows = match at_hand {
            Some(block) if block.has_rows => counted.so_far.newlines.saturating_sub(END_OF_COPY),
            _ => 0,
        };
        let flowing = at_hand.map(|block| Flowing {
            table_bytes: block.bytes,
            estimated_rows: block.estimated_rows,
            rows,
            copy_bytes: counted.so_far.raw_bytes,
        });
        let counts = Counts {
            current_table: at_hand.map(|block| block.name.clone()),
            rows_done: i64::try_from(counted.rows + rows).ok(),
            ..counts(now, &counted)
        };
        (self.estimate.share(flowing.as_ref()), counts)
    }
}

/// What can be counted without knowing any sizes; nothing of an archive that is not read.
pub(super) fn counts(now: &Snapshot, counted: &Counted) -> Counts {
    let known = now.toc.is_some();
    Counts {
        current_table: None,
        tables_done: i32::try_from(counted.tables_done).ok().filter(|_| known),
        tables_total: i32::try_from(now.tables_total).ok().filter(|_| known),
        rows_done: i64::try_from(counted.rows).ok().filter(|_| known),
        bytes_dumped: i64::try_from(now.bytes_in).ok(),
        bytes_stored: i64::try_from(now.bytes_out).ok(),
    }
}
