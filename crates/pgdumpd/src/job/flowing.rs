//! How far a flowing dump is: what the parser saw pass, weighed by the tables' sizes, and inside the table
//! at hand what the server says of its COPY.

use std::collections::HashMap;

use pgdump_archive::{DataKind, Toc, TocEntry};

use super::estimate::{Estimate, Flowing};
use super::reporter::Counts;
use crate::pipeline::Snapshot;
use crate::target::{CopyProgress, Sizes, TableSize};

/// A table seen in this many looks has shown enough of its COPY to learn from.
const LOOKS_TO_LEARN: u32 = 4;

/// One entry that owes data, in the order in which the archive delivers.
#[derive(Debug)]
struct Block {
    /// Quoted where SQL would need it, for people.
    name: String,
    schema: Option<String>,
    table: String,
    bytes: u64,
    estimated_rows: Option<i64>,
}

/// The state of one dump's flow.
#[derive(Debug)]
pub(super) struct Flow {
    blocks: Vec<Block>,
    estimate: Estimate,
    done: usize,
    looks: u32,
    copied: u64,
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
                    schema: entry.schema.as_ref().map(ToString::to_string),
                    table: entry.tag.to_string(),
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
            looks: 0,
            copied: 0,
        }
    }

    /// The share of the data that has passed, 0 to 1, and the counts to tell.
    pub(super) fn update(&mut self, now: &Snapshot, copy: Option<&CopyProgress>) -> (f64, Counts) {
        while self.done < now.blocks_done.min(self.blocks.len()) {
            let learnt = (self.looks >= LOOKS_TO_LEARN).then_some(self.copied);
            self.estimate.finished(self.blocks[self.done].bytes, learnt);
            self.done += 1;
            self.looks = 0;
            self.copied = 0;
        }
        let at_hand = self.blocks.get(self.done);
        // pg_dump may be a table ahead of what has passed through its pipe.
        let copy = copy.filter(|copy| at_hand.is_some_and(|block| is_of(copy, block)));
        if let Some(copy) = copy {
            self.looks += 1;
            self.copied = copy.bytes_processed.unsigned_abs();
        }
        let flowing = at_hand.map(|block| Flowing {
            table_bytes: block.bytes,
            estimated_rows: block.estimated_rows,
            rows: copy.map_or(0, |copy| copy.tuples_processed.unsigned_abs()),
            copy_bytes: self.copied,
        });
        let counts = Counts {
            current_table: at_hand.map(|block| block.name.clone()),
            ..counts(now)
        };
        (self.estimate.share(flowing.as_ref()), counts)
    }
}

/// What can be counted without knowing any sizes. Rows cannot: pg_dump has compressed them.
pub(super) fn counts(now: &Snapshot) -> Counts {
    let known = now.toc.is_some();
    Counts {
        current_table: None,
        tables_done: i32::try_from(now.tables_done).ok().filter(|_| known),
        tables_total: i32::try_from(now.tables_total).ok().filter(|_| known),
        rows_done: None,
        bytes_dumped: i64::try_from(now.bytes_in).ok(),
        bytes_stored: i64::try_from(now.bytes_out).ok(),
    }
}

/// Whether a COPY is this block's.
fn is_of(copy: &CopyProgress, block: &Block) -> bool {
    copy.schema == block.schema && copy.table.as_ref() == Some(&block.table)
}
