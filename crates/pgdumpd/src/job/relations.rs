//! Tables that are replaced while a dump begins or runs. pg_dump takes its snapshot first and its locks afterwards,
//! and it locks and copies by name: what a table was in the snapshot, and what its name means when it is copied, can
//! be two tables, or one table with another file. pg_dump then ends well, and the archive lacks rows.
//!
//! Three readings of the catalog find it: at the tables' files before pg_dump starts, at names and files once its locks
//! are held, and at the schemas' names, which no lock holds, until the last table is being copied.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgdump_archive::{DumpId, IndexEntry, Text, Toc, TocEntry};
use tokio::time::Instant;
use tracing::debug;

use super::asked_for::{WRAPPER, list};
use crate::code::Code;
use crate::fault::Fault;
use crate::pipeline::{ArchiveEnd, Meter, Streamed};
use crate::server::{NamedTable, TableFile, Target};

/// Between two questions to the meter, until the table of contents has come: the dump of a small database may be over
/// a moment later.
const UNTIL_LOCKED: Duration = Duration::from_millis(20);
/// Between two questions to the meter whether the last table has begun.
const UNTIL_LAST: Duration = Duration::from_millis(50);
/// Between two readings of the schemas' names. A schema that was renamed and renamed back in less time is not seen.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How long the target may take to answer once the dump is over.
const LAST_LOOK_LIMIT: Duration = Duration::from_secs(20);

const MOVED: &str = "tables were dropped, renamed or recreated while pg_dump began";
const EMPTIED: &str = "tables were emptied or rewritten after pg_dump took its snapshot, and the archive lacks their rows";
const RENAMED: &str = "schemas were renamed while their tables were being dumped";
const HINT: &str = "What replaces tables (TRUNCATE, ALTER TABLE, DROP, RENAME) leaves nothing for a dump that begins at the same time. Let such work and the backup begin at different times.";

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

/// What the second reading found.
#[derive(Default)]
struct Locked {
    /// Dumped tables that have another file than before.
    doubts: Vec<Doubt>,
    /// The names of the dumped tables' schemas, by their oids.
    schemas: HashMap<u32, Vec<u8>>,
}

/// A table whose rows the dump's snapshot may not have seen.
struct Doubt {
    entry: DumpId,
    oid: u32,
    name: String,
    was_empty: bool,
    change: Change,
}

/// What became of it, perhaps since the dump's snapshot.
enum Change {
    /// It has another file. What moves rows as they are (VACUUM FULL, CLUSTER, SET TABLESPACE) does no harm; what
    /// empties or writes them again leaves nothing that the snapshot can see.
    File {
        is_uncounted: bool,
        has_moved: bool,
        is_locked: bool,
    },
    /// It was not there under its name after the dump, whose locks were gone, and nothing else was. It had waited for
    /// those locks, or what pg_dump locked under its name had.
    Gone,
}

impl<'a> Relations<'a> {
    /// Takes the first reading. The dump must be started afterwards.
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

    /// Runs until a table or a schema is seen to be replaced; forever once the last table is being copied. Dropped when
    /// the stream has ended. Cancel-safe: it only reads, and a reading that was not finished is repeated.
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
                Err(fault) if fault.code() == Code::TableReplaced => return fault,
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
        Err(Fault::permanent(Code::DatabaseDiffers, what).hint(WRAPPER))
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
                Err(fault) if fault.code() == Code::TableReplaced || Instant::now() > end => {
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
        if emptied.is_empty() {
            Ok(())
        } else {
            Err(self.replaced(EMPTIED, emptied))
        }
    }

    /// The second reading, until it has been taken, and then the third.
    async fn compare(&self, toc: &Toc) -> Result<(), Fault> {
        if self.seen().locked.is_none() {
            let locked = self.compare_tables(toc).await?;
            self.seen().locked = Some(locked);
            return Ok(());
        }
        let now = self.target.schema_names().await?;
        let seen = self.seen();
        let locked = seen.locked.iter().flat_map(|locked| &locked.schemas);
        let names: HashSet<&Vec<u8>> = now.values().collect();
        // One that is not there was dropped with its tables, after the dump, unless another one has its name.
        let renamed: Vec<String> = locked
            .filter(|(oid, name)| match now.get(oid) {
                Some(now) => now != *name,
                None => names.contains(name),
            })
            .map(|(_, name)| Text::escape(name).into_owned())
            .collect();
        if renamed.is_empty() {
            Ok(())
        } else {
            Err(self.replaced(RENAMED, renamed))
        }
    }

    /// Compares what pg_dump found with what it has locked: each table has the name and the file that it had.
    async fn compare_tables(&self, toc: &Toc) -> Result<Locked, Fault> {
        let mut expected: HashMap<u32, &TocEntry> = tables(toc).map(|e| (e.oid, e)).collect();
        let owners: HashMap<(&[u8], &[u8]), u32> = tables(toc)
            .map(|entry| (name_of(entry), entry.oid))
            .collect();
        let mut locked = Locked::default();
        let mut is_locked = false;
        let mut absent = Vec::new();
        // Tables whose name is another's.
        let mut taken = HashSet::new();
        let take = |table: NamedTable| {
            is_locked |= table.is_locked;
            let owner = owners.get(&(&*table.schema, &*table.name)).copied();
            taken.extend(owner.filter(|owner| *owner != table.oid));
            let Some(entry) = expected.remove(&table.oid) else {
                return;
            };
            if owner != Some(table.oid) {
                absent.push(entry);
                return;
            }
            locked
                .schemas
                .insert(table.schema_oid, table.schema.clone());
            locked.doubts.extend(self.doubt(entry, &table));
        };
        self.target.each_table(self.application_name, take).await?;
        absent.extend(expected.into_values());
        // While the locks are held no table goes. Once they are gone, a name that is free was there for pg_dump to
        // lock: it went after the dump.
        let is_moved = |entry: &&TocEntry| is_locked || taken.contains(&entry.oid);
        let (moved, gone): (Vec<_>, Vec<_>) = absent.into_iter().partition(is_moved);
        locked
            .doubts
            .extend(gone.into_iter().map(|entry| self.gone(entry)));
        if moved.is_empty() {
            return Ok(locked);
        }
        let moved = moved.iter().map(|entry| entry.qualified_name()).collect();
        Err(self.replaced(MOVED, moved))
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
            change: Change::File {
                is_uncounted: table.is_uncounted,
                has_moved: before.is_some_and(|file| file.tablespace != table.tablespace),
                is_locked: table.is_locked,
            },
        })
    }

    fn gone(&self, entry: &TocEntry) -> Doubt {
        let before = self.before.get(&entry.oid);
        Doubt {
            entry: entry.dump_id,
            oid: entry.oid,
            name: entry.qualified_name(),
            was_empty: before.is_some_and(|file| file.is_empty),
            change: Change::Gone,
        }
    }

    /// Whether the archive may lack rows of a table that was changed.
    async fn lost_rows(&self, doubt: &Doubt, block: Option<&IndexEntry>) -> bool {
        let has_rows = block.is_some_and(|block| match block.rows {
            Some(rows) => rows > 0,
            None => block.raw_bytes > 0,
        });
        match doubt.change {
            // Another table that was made in its place, and has gone, too, would have had no row for the snapshot.
            Change::Gone => !has_rows && !doubt.was_empty,
            Change::File { .. } if !has_rows => {
                !doubt.was_empty || !self.target.is_empty_table(doubt.oid).await
            }
            // Rows that every snapshot sees although they are new: COPY with FREEZE, or a file that was filled
            // elsewhere and swapped in. They may be all of the table's, or a part of them. What moves rows counts them,
            // too, or leaves them uncounted in another tablespace.
            Change::File {
                is_uncounted,
                has_moved,
                is_locked,
            } => {
                let is_unknown = is_uncounted && !has_moved;
                // The rows of a table without a byte are of the file that it had: it was emptied after the dump.
                is_unknown && (is_locked || !self.target.is_empty_table(doubt.oid).await)
            }
        }
    }

    fn replaced(&self, what: &str, names: Vec<String>) -> Fault {
        let named = if self.withholds_names {
            names.len().to_string()
        } else {
            list(names)
        };
        Fault::transient(Code::TableReplaced, format!("{what}: {named}")).hint(HINT)
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

/// The schema and the name of an entry: in UTF-8, or in a database without an encoding the bytes as they are.
fn name_of(entry: &TocEntry) -> (&[u8], &[u8]) {
    let schema = entry.schema.as_ref().map_or(&[][..], Text::as_bytes);
    (schema, entry.tag.as_bytes())
}
