//! Tables that are replaced while a dump begins or runs. pg_dump takes its snapshot first and its locks afterwards,
//! and it locks and copies by name: what a table was in the snapshot, and what its name means when it is copied, can
//! be two tables, or one table with another file. pg_dump then ends well, and the archive lacks rows.
//!
//! Three looks at the catalog find it: at the tables' files before pg_dump starts, at names and files once its locks
//! are held, and at the schemas' names, which no lock holds, until the last table is being copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgdump_archive::{DumpId, IndexEntry, Text, Toc, TocEntry};
use tokio::time::Instant;
use tracing::debug;

use super::asked_for::WRAPPER;
use crate::fault::Fault;
use crate::pipeline::{ArchiveEnd, Meter, Streamed};
use crate::target::{NamedTable, TableFile, Target};

/// Between two questions to the meter, until the table of contents has come: the dump of a small database may be over
/// a moment later.
const UNTIL_LOCKED: Duration = Duration::from_millis(20);
/// Between two questions to the meter whether the last table has begun.
const UNTIL_LAST: Duration = Duration::from_millis(50);
/// Between two looks at the schemas' names. A schema that was renamed and renamed back in less time is not seen.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How long the target may take to answer once the dump is over.
const LAST_LOOK_LIMIT: Duration = Duration::from_secs(20);
/// How many tables or schemas a message names.
const NAMED: usize = 5;

const TABLE_REPLACED: &str = "table_replaced";
const MOVED: &str = "tables were dropped, renamed or made again while pg_dump began";
const EMPTIED: &str = "tables were emptied or rewritten after pg_dump took its snapshot, and the archive lacks their rows";
const RENAMED: &str = "schemas were renamed while their tables were being dumped";
const HINT: &str = "What replaces tables (TRUNCATE, ALTER TABLE, DROP, RENAME) leaves nothing for a dump that begins \
                    beside it. Let such work and the backup begin at different times.";

/// What is known of the tables of one run of pg_dump.
pub(super) struct Relations<'a> {
    target: &'a Target,
    application_name: &'a str,
    /// Whether messages say how many tables, and not which.
    withholds_names: bool,
    /// By the tables' oids, before pg_dump was started.
    before: HashMap<u32, TableFile>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Once the dump's locks were held.
    locked: Option<Locked>,
    /// Whether the schemas' names were the same when the last table was being copied: what they are called
    /// afterwards means nothing.
    is_settled: bool,
}

/// What the second look saw.
#[derive(Default)]
struct Locked {
    /// Dumped tables that have another file than before.
    doubts: Vec<Doubt>,
    /// The names of the dumped tables' schemas, by their oids.
    schemas: HashMap<u32, Vec<u8>>,
}

/// A table whose file is another one, perhaps since the dump's snapshot. What moves rows as they are (VACUUM FULL,
/// CLUSTER) does no harm; what empties or writes them again leaves nothing that the snapshot can see.
struct Doubt {
    entry: DumpId,
    oid: u32,
    name: String,
    was_empty: bool,
    is_uncounted: bool,
}

impl<'a> Relations<'a> {
    /// Takes the first look. The dump must be started afterwards.
    pub(super) async fn look(
        target: &'a Target,
        application_name: &'a str,
        withholds_names: bool,
    ) -> Result<Self, Fault> {
        Ok(Self {
            target,
            application_name,
            withholds_names,
            before: target.table_files().await?,
            seen: Mutex::default(),
        })
    }

    /// Runs until a table or a schema is seen to be replaced; for ever once the last table is being copied. Dropped when
    /// the stream has ended. Cancel-safe: it only reads, and a look that was not finished is taken again.
    pub(super) async fn watch(&self, meter: Arc<Meter>) -> Fault {
        let toc = loop {
            match meter.snapshot().toc {
                Some(toc) => break toc,
                None => tokio::time::sleep(UNTIL_LOCKED).await,
            }
        };
        // The tables of another database are missing all together: that says it better.
        if let Some(Err(fault)) = meter.database().map(|found| self.check_database(found)) {
            return fault;
        }
        let last = last_table(&toc);
        let is_last_begun = || last.is_none_or(|last| meter.blocks_begun() > last);
        while !self.seen().is_complete() {
            let is_last = is_last_begun();
            match self.compare(&toc).await {
                Ok(()) => self.seen().is_settled |= is_last,
                Err(fault) if fault.code() == TABLE_REPLACED => return fault,
                Err(fault) => debug!("the dump's tables cannot be compared: {}", fault.report()),
            }
            let last_begins = async {
                while is_last || !is_last_begun() {
                    tokio::time::sleep(UNTIL_LAST).await;
                }
            };
            let _ = tokio::time::timeout(BETWEEN_LOOKS, last_begins).await;
        }
        // What schemas are called from now on means nothing.
        std::future::pending().await
    }

    /// Whether the archive is of the database that the target means.
    fn check_database(&self, found: &Text) -> Result<(), Fault> {
        let meant = self.target.url().database();
        if found.as_bytes() == meant.as_bytes() {
            return Ok(());
        }
        let what = format!("the archive is of database \"{found}\", not of \"{meant}\"");
        Err(Fault::permanent("database_differs", what).hint(WRAPPER))
    }

    /// Says whether the archive holds the rows of the tables that it names. For a dump that has ended well.
    ///
    /// # Errors
    /// A permanent `database_differs`; a transient `table_replaced`; else as [`Target::look`].
    pub(super) async fn verdict(&self, streamed: &Streamed) -> Result<(), Fault> {
        let ArchiveEnd::Proved(proved) = streamed.end() else {
            // Without a table of contents there is nothing to compare.
            return Ok(());
        };
        self.check_database(&proved.header().database)?;
        let end = Instant::now() + LAST_LOOK_LIMIT;
        while !self.seen().is_complete() {
            match self.compare(proved.toc()).await {
                Ok(()) => break,
                Err(fault) if fault.code() == TABLE_REPLACED || Instant::now() > end => {
                    return Err(fault);
                }
                Err(_) => tokio::time::sleep(BETWEEN_LOOKS).await,
            }
        }
        let doubts = self.seen().locked.take().unwrap_or_default().doubts;
        if doubts.is_empty() {
            return Ok(());
        }
        let blocks = proved.index().entries.iter();
        let blocks: HashMap<DumpId, &IndexEntry> = blocks.map(|b| (b.dump_id, b)).collect();
        let mut emptied = Vec::new();
        for doubt in doubts {
            let block = blocks.get(&doubt.entry).copied();
            if self.lost_rows(&doubt, block).await {
                emptied.push(doubt.name);
            }
        }
        match emptied.is_empty() {
            true => Ok(()),
            false => Err(self.replaced(EMPTIED, &emptied)),
        }
    }

    /// The second look, until it has been taken, and then the third.
    async fn compare(&self, toc: &Toc) -> Result<(), Fault> {
        if self.seen().locked.is_none() {
            let locked = self.compare_tables(toc).await?;
            self.seen().locked = Some(locked);
            return Ok(());
        }
        let now = self.target.schema_names().await?;
        let seen = self.seen();
        let locked = seen.locked.iter().flat_map(|locked| &locked.schemas);
        let renamed: Vec<String> = locked
            .filter(|(oid, name)| now.get(oid) != Some(name))
            .map(|(_, name)| Text::escape(name).into_owned())
            .collect();
        match renamed.is_empty() {
            true => Ok(()),
            false => Err(self.replaced(RENAMED, &renamed)),
        }
    }

    /// Compares what pg_dump found with what it has locked: each table has the name and the file that it had.
    async fn compare_tables(&self, toc: &Toc) -> Result<Locked, Fault> {
        let mut expected: HashMap<u32, &TocEntry> = tables(toc).map(|e| (e.oid, e)).collect();
        let mut locked = Locked::default();
        let mut moved = Vec::new();
        let take = |table: NamedTable| {
            let Some(entry) = expected.remove(&table.oid) else {
                return;
            };
            if !has_name(entry, &table) {
                moved.push(entry.qualified_name());
                return;
            }
            locked
                .schemas
                .insert(table.schema_oid, table.schema.clone());
            locked.doubts.extend(self.doubt(entry, &table));
        };
        self.target.each_table(self.application_name, take).await?;
        moved.extend(expected.values().map(|entry| entry.qualified_name()));
        match moved.is_empty() {
            true => Ok(locked),
            false => Err(self.replaced(MOVED, &moved)),
        }
    }

    /// Whether the table has got another file that the dump's snapshot may not have seen.
    fn doubt(&self, entry: &TocEntry, table: &NamedTable) -> Option<Doubt> {
        let before = self.before.get(&table.oid);
        // A table that was made meanwhile begins with a file of its own number.
        let node = before.map_or(table.oid, |file| file.node);
        (node != table.file_node && !table.is_older_than_dump).then(|| Doubt {
            entry: entry.dump_id,
            oid: table.oid,
            name: entry.qualified_name(),
            was_empty: before.is_some_and(|file| file.is_empty),
            is_uncounted: table.is_uncounted,
        })
    }

    /// Whether the archive lacks rows of a table that got another file.
    async fn lost_rows(&self, doubt: &Doubt, block: Option<&IndexEntry>) -> bool {
        let has_rows = block.is_some_and(|block| match block.rows {
            Some(rows) => rows > 0,
            None => block.raw_bytes > 0,
        });
        if has_rows {
            // Rows that every snapshot sees although they are new: COPY with FREEZE, or a file that was filled elsewhere
            // and swapped in. They may be all of the table's, or a part of them. What moves rows counts them, too.
            doubt.is_uncounted
        } else {
            let was_and_is_empty = doubt.was_empty && self.target.is_empty_table(doubt.oid).await;
            !was_and_is_empty
        }
    }

    fn replaced(&self, what: &str, names: &[String]) -> Fault {
        let named = match self.withholds_names {
            true => names.len().to_string(),
            false => names[..names.len().min(NAMED)].join(", "),
        };
        let more = match names.len().saturating_sub(NAMED) {
            more if more > 0 && !self.withholds_names => format!(" and {more} more"),
            _ => String::new(),
        };
        Fault::transient(TABLE_REPLACED, format!("{what}: {named}{more}")).hint(HINT)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn is_complete(&self) -> bool {
        self.locked.is_some() && self.is_settled
    }
}

/// The entries of tables whose rows are in the archive. Materialized views are restored by REFRESH.
fn tables(toc: &Toc) -> impl Iterator<Item = &TocEntry> {
    toc.data_entries().filter(|entry| entry.is_table_data())
}

/// Which data block is that of the last table.
fn last_table(toc: &Toc) -> Option<usize> {
    let blocks = toc.data_entries().enumerate();
    let tables = blocks.filter(|(_, entry)| entry.is_table_data());
    tables.last().map(|(block, _)| block)
}

/// Whether the table is called as the entry says: both are in UTF-8, or in a database without an encoding the bytes as they are.
fn has_name(entry: &TocEntry, table: &NamedTable) -> bool {
    let schema = entry.schema.as_ref().map_or(&[][..], Text::as_bytes);
    schema == table.schema && entry.tag.as_bytes() == table.name
}
