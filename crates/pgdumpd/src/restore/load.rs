//! Loads the rows of all tables, by several connections at once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use pgdump_archive::DumpId;

use super::plan::{Plan, TableLoad};
use super::report::TableEnd;
use super::{Options, Progress};
use crate::fault::Fault;
use crate::readback::Source;
use crate::server::{Loaded, Loader, Table, note_of_table};

/// How often a table is begun again, and after which pauses, where its storage or the connection failed.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
];

/// Of a table that could not be made: one of its name may be there, with rows of its own.
const NOT_MADE: &str = "the table could not be made, and nothing was loaded into one of its name";

/// Of a table that is not there though all rows were loaded: its triggers and constraints may be there by now.
const NOT_BEFORE: &str = "the restore that this one goes on with could not load it";

/// What an earlier restore, which this one goes on with, has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// The tables that it has loaded.
    pub(super) loaded: &'a HashSet<i32>,
    /// The entries that could not be made.
    pub(super) refused: &'a HashSet<DumpId>,
    /// Whether it had come to the end of the data.
    pub(super) has_ended: bool,
}

/// How each table ended, in the plan's order.
///
/// # Errors
/// Those of the server where no connection can be had any more.
pub(super) async fn load_all(
    source: &Source<'_>,
    plan: &Plan,
    options: &Options,
    before: &Before<'_>,
    progress: &Progress,
) -> Result<Vec<TableEnd>, Fault> {
    let mut ends: Vec<Option<TableEnd>> = Vec::new();
    let mut waiting = VecDeque::new();
    for (at, load) in plan.tables.iter().enumerate() {
        let is_noted = before.loaded.contains(&load.entry.dump_id.get());
        // A crash of the server empties one that is unlogged, and not the note.
        let is_there = is_noted && (!load.is_unlogged || before.has_ended);
        let is_refused = load
            .table
            .is_some_and(|table| before.refused.contains(&table));
        if is_there {
            progress.add(load.entry.raw_bytes);
            ends.push(Some(TableEnd::LoadedBefore));
        } else if is_refused {
            ends.push(Some(TableEnd::Lost(NOT_MADE.to_owned())));
        } else if before.has_ended {
            ends.push(Some(TableEnd::Lost(NOT_BEFORE.to_owned())));
        } else {
            ends.push(None);
            waiting.push_back(at);
        }
    }
    let workers = options.jobs.min(waiting.len());
    let shared = Shared {
        source,
        plan,
        options,
        progress,
        waiting: Mutex::new(waiting),
        ends: Mutex::new(ends),
    };
    try_join_all((0..workers).map(|_| shared.work())).await?;
    let ends = shared
        .ends
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let not_begun = || TableEnd::Lost("it was not begun".to_owned());
    Ok(ends
        .into_iter()
        .map(|end| end.unwrap_or_else(not_begun))
        .collect())
}

struct Shared<'a> {
    source: &'a Source<'a>,
    plan: &'a Plan,
    options: &'a Options,
    progress: &'a Progress,
    waiting: Mutex<VecDeque<usize>>,
    ends: Mutex<Vec<Option<TableEnd>>>,
}

impl Shared<'_> {
    /// Loads one table after another, until none waits.
    async fn work(&self) -> Result<(), Fault> {
        let mut loader = self.connect().await?;
        while let Some(at) = self.next() {
            let end = self.load(&mut loader, &self.plan.tables[at]).await?;
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends[at] = Some(end);
        }
        Ok(())
    }

    fn next(&self) -> Option<usize> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }

    async fn connect(&self) -> Result<Loader, Fault> {
        let mut loader = Loader::connect(&self.options.into, self.options.role.as_deref()).await?;
        if let Some(encoding) = self.plan.encoding() {
            loader
                .run("the archive's encoding", encoding.to_owned())
                .await?;
        }
        Ok(loader)
    }

    /// Loads one, again where what failed may pass.
    async fn load(&self, loader: &mut Loader, load: &TableLoad) -> Result<TableEnd, Fault> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.try_to_load(loader, load).await {
                Ok(Loaded::Whole { rows, .. }) => return Ok(TableEnd::Loaded(rows)),
                Ok(Loaded::Damaged(what)) => {
                    return Ok(TableEnd::Lost(format!("its stored data {what}")));
                }
                Ok(Loaded::Refused(what)) => return Ok(TableEnd::Lost(what)),
                Err(fault) => {
                    let Some(pause) = pauses.next().filter(|_| fault.is_transient()) else {
                        return Ok(TableEnd::Lost(fault.report()));
                    };
                    tracing::warn!(table = load.name, "tried again: {}", fault.report());
                    tokio::time::sleep(*pause).await;
                    // The old session may be in the middle of the rows.
                    *loader = self.connect().await?;
                }
            }
        }
    }

    async fn try_to_load(&self, loader: &mut Loader, load: &TableLoad) -> Result<Loaded, Fault> {
        let entry = &load.entry;
        let note = note_of_table(entry.dump_id.get(), entry.rows);
        let again = format!(
            "TRUNCATE ONLY {}; DELETE FROM pgdumpd_restore.loaded WHERE dump_id = {}",
            load.copy_name().unwrap_or_default(),
            entry.dump_id
        );
        let table = Table {
            before: if load.is_unlogged { &again } else { "" },
            role: load.owner.as_deref().filter(|_| self.options.as_owner),
            copy: &load.copy,
            after: &note,
            missing: "",
            expected: entry.rows,
        };
        let mut sent = 0;
        let loaded = loader.load(&table, async |mut rows| {
            let read = self.source.rows(entry, async |piece| {
                let bytes = piece.len() as u64;
                rows.send(piece).await?;
                sent += bytes;
                self.progress.add(bytes);
                Ok(())
            });
            read.await
        });
        let loaded = loaded.await;
        if !matches!(loaded, Ok(Loaded::Whole { .. })) {
            self.progress.take_back(sent);
        }
        loaded
    }
}
