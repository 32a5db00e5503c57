//! The way back: a stored backup is loaded into a database, and what came back is compared with what was backed up.
//!
//! The stock pg_restore restores the schema before and after the data, and what of the data is not rows. Rows we load
//! ourselves, by several connections: each reads its table's block from the storage, decrypts, decompresses and checks it
//! on the way, and nothing of it lies on a disk in between. A table is committed only when its checksum is the index's
//! and the server has counted as many rows.

mod load;
mod merge;
mod messages;
mod pg_restore;
mod plan;
mod preflight;
mod report;
mod roles;
mod words;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use pgdump_archive::{Checksum, DumpId, Section, TableName, Toc, TocEntry};

use crate::code::Code;
use crate::database_url::DatabaseUrl;
use crate::fault::Fault;
use crate::finding::{Finding, Severity};
use crate::readback::{Source, Stored};
use crate::server::{Finished, Refused, Restored};
use crate::text::count_of;

use load::{Before, load_all};
use messages::EntryError;
use pg_restore::{Part, PgRestore};
use plan::Plan;
use preflight::{check_place, look};
use report::{Ends, judge};

pub use merge::Merged;
pub use report::{ObjectReport, Report, Seconds, TableReport, Verdict, Weight};
pub use words::{in_a_sentence, in_words, markdown};

/// How a backup is restored.
#[derive(Debug, Clone)]
pub struct Options {
    /// Into which database.
    pub into: DatabaseUrl,
    /// How many sessions load rows, and make indexes.
    pub jobs: usize,
    /// These tables alone, with what they need; all where none is named.
    pub tables: Vec<TableName>,
    /// Leaves owners as the role that restores.
    pub no_owner: bool,
    /// Leaves grants out.
    pub no_privileges: bool,
    /// Becomes this role first.
    pub role: Option<String>,
    /// Restores into a database that is not empty.
    pub not_empty: bool,
    /// Goes on with a restore that was ended.
    pub resume: bool,
    /// Restores in spite of what the server lacks.
    pub force: bool,
    /// Brings only rows back, into tables that are there: those that are missing.
    pub merge: bool,
    /// Of these only those that this condition is true of, in SQL.
    pub rows: Option<String>,
    /// Loads each table as its owner, for an archive that is not trusted.
    pub as_owner: bool,
    /// Gathers statistics at the end.
    pub analyze: bool,
    /// Where the programs of PostgreSQL may be.
    pub directories: Vec<PathBuf>,
}

/// How far a restore is.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    raw_bytes: AtomicU64,
}

/// What a restore is doing.
const PHASES: [&str; 5] = [
    "reading the backup",
    "restoring the schema",
    "loading rows",
    "making indexes and constraints",
    "gathering statistics",
];

impl Progress {
    /// What it is doing.
    pub fn phase(&self) -> &'static str {
        let phase = usize::from(self.phase.load(Ordering::Relaxed));
        PHASES.get(phase).copied().unwrap_or_default()
    }

    /// Bytes of rows that were loaded, without compression.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn take_back(&self, bytes: u64) {
        self.raw_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.raw_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A table as it can be compared once it is restored.
#[derive(Debug, Clone)]
pub struct Comparable {
    /// Its name, as SQL writes it.
    pub name: String,
    /// The COPY that gives its rows as the archive has them.
    pub copy_out: String,
    /// The statement that sets the archive's encoding.
    pub encoding: Option<String>,
    /// Of the rows, and of the end that pg_dump writes after them.
    pub checksum: Checksum,
}

/// A restore that was looked at from all sides, and has changed nothing yet.
pub struct Restore<'a> {
    stored: &'a Stored,
    options: Options,
    source: Source<'a>,
    plan: Plan,
    pg_restore: PgRestore,
    restored: Restored,
    finished: Option<Finished>,
    /// What is wrong, or should be known, before it begins. One with an error is refused.
    pub findings: Vec<Finding>,
}

impl<'a> Restore<'a> {
    /// Reads the backup's table of contents, connects to the database, and compares what the one needs and the other
    /// has.
    ///
    /// # Errors
    /// The storage's; the server's; `table_unknown`, `pg_restore_missing`, `restore_refused`, `database_not_empty`.
    pub async fn prepare(stored: &'a Stored, options: Options) -> Result<Self, Fault> {
        let source = Source::open(stored).await?;
        let plan = Plan::new(&source, &options.tables).await?;
        let role = options.role.as_deref();
        let mut restored = Restored::connect(&options.into, role).await?;
        let pg_restore = PgRestore::find(
            &options.directories,
            &options.into,
            restored.major(),
            stored.manifest.restore.minimum_pg_restore,
            arguments(&options),
        )
        .await?;
        let (mut finished, mut findings) = (None, Vec::new());
        if !options.merge {
            finished = restored.finished().await?;
            check_place(
                &mut restored,
                finished.as_ref(),
                stored,
                &plan.toc,
                &options,
            )
            .await?;
            findings = look(stored, &source, &plan, &options, &mut restored).await?;
        }
        Ok(Self {
            stored,
            options,
            source,
            plan,
            pg_restore,
            restored,
            finished,
            findings,
        })
    }

    /// Whether something was found that keeps it from being restored.
    pub fn is_refused(&self) -> bool {
        !self.options.force
            && self
                .findings
                .iter()
                .any(|finding| finding.severity == Severity::Error)
    }

    /// What will be done, in lines for people.
    pub fn summary(&self) -> Vec<String> {
        let rows: u64 = self
            .plan
            .tables
            .iter()
            .filter_map(|load| load.entry.rows)
            .sum();
        let mut lines = vec![
            format!(
                "backup {} of {} into {}, PostgreSQL {}",
                self.stored.manifest.backup_id,
                self.stored.manifest.target,
                self.options.into,
                self.restored.version()
            ),
            format!(
                "schema and indexes by pg_restore {}; {} with {} by {}",
                self.pg_restore.major(),
                count_of(self.plan.tables.len() as u64, "table"),
                count_of(rows, "row"),
                count_of(self.options.jobs as u64, "connection"),
            ),
        ];
        if let Some(finished) = &self.finished {
            let done = count_of(finished.loaded.len() as u64, "table");
            lines.push(format!("goes on with a restore that has loaded {done}"));
        }
        lines
    }

    /// Each table with its rows and its bytes without compression, the largest first.
    pub fn tables(&self) -> impl Iterator<Item = (&str, Option<u64>, u64)> {
        let tables = self.plan.tables.iter();
        tables.map(|load| (load.name.as_str(), load.entry.rows, load.entry.raw_bytes))
    }

    /// Each table with how its rows are read out again to be compared.
    pub fn comparable(&self) -> Vec<Comparable> {
        let tables = self.plan.tables.iter();
        tables
            .filter_map(|load| {
                let table = load.copy.strip_suffix(" FROM stdin")?;
                Some(Comparable {
                    name: load.name.clone(),
                    copy_out: format!("{table} TO stdout"),
                    encoding: self.plan.encoding().map(str::to_owned),
                    checksum: load.entry.raw_xxh3_128,
                })
            })
            .collect()
    }

    /// The roles that own something in the backup.
    pub fn roles(&self) -> Vec<String> {
        self.plan.needs().roles
    }

    /// What is restored.
    pub fn toc(&self) -> &Toc {
        &self.plan.toc
    }

    /// The major version of the pg_dump that made the backup.
    pub fn dumped_by(&self) -> Option<u32> {
        major_of(self.source.header().dump_version.as_str()?)
    }

    /// The bytes of all rows, without compression.
    pub fn raw_bytes(&self) -> u64 {
        self.plan.raw_bytes()
    }

    /// Restores.
    ///
    /// # Errors
    /// What keeps it from going on: the server is gone, or pg_restore cannot run. It can go on later, with
    /// `resume`. What single entries lack is in the report.
    pub async fn run(mut self, progress: &Progress) -> Result<Report, Fault> {
        let mut seconds = Seconds::default();
        let finished = self.begin().await?;
        // What could not be restored before this one went on is not there now either.
        let mut errors: Vec<EntryError> = finished.errors.iter().map(EntryError::from).collect();
        let is_done = |part: &str| finished.phases.contains(part);

        let began = Instant::now();
        progress.enter(1);
        let schema = self.source.head_of(&self.plan.toc, false)?;
        if !is_done("pre_data") {
            // One session: its entries depend on each other, and are quick.
            let clean = self.options.resume;
            let found = self.schema(Part::PreData, &schema, 1, clean).await?;
            self.restored.note("pre_data", &noted(&found)).await?;
            errors.extend(found);
        }
        let refused: HashSet<_> = errors
            .iter()
            .filter(|error| !error.is_of_an_owner())
            .filter_map(|error| error.dump_id)
            .collect();
        seconds.pre_data = began.elapsed().as_secs_f64();

        let began = Instant::now();
        progress.enter(2);
        if self.options.resume && !is_done("data") && self.plan.makes_large_objects_with_data() {
            self.restored.unlink_large_objects().await?;
        }
        let rest = async {
            if is_done("data") || !self.plan.has_rest() {
                return Ok(Vec::new());
            }
            self.rest().await
        };
        let before = Before {
            loaded: &finished.loaded,
            refused: &refused,
            has_ended: is_done("data"),
        };
        let rows = load_all(&self.source, &self.plan, &self.options, &before, progress);
        let (tables, of_rest) = tokio::try_join!(rows, rest)?;
        self.restored.note("data", &noted(&of_rest)).await?;
        errors.extend(of_rest);
        seconds.data = began.elapsed().as_secs_f64();

        let began = Instant::now();
        progress.enter(3);
        let clean = is_done("post_data_begun");
        self.restored.note("post_data_begun", &[]).await?;
        errors.extend(self.post_data(&schema, clean).await?);
        seconds.post_data = began.elapsed().as_secs_f64();

        let began = Instant::now();
        if self.options.analyze {
            progress.enter(4);
            self.restored.analyze().await?;
        }
        seconds.analyze = began.elapsed().as_secs_f64();
        self.restored.end().await?;
        Ok(self.report(tables, errors, seconds))
    }

    /// Brings back the rows that are missing in tables that are there.
    ///
    /// # Errors
    /// `restore_refused`, before anything is changed; the storage's and the server's.
    pub async fn merge(mut self, progress: &Progress) -> Result<Vec<Merged>, Fault> {
        progress.enter(2);
        let merges =
            merge::plan(&self.plan, self.options.rows.as_deref(), &mut self.restored).await?;
        merge::merge_all(&self.source, &merges, &self.plan, &self.options, progress).await
    }

    /// What an earlier restore has done; notes that this one has begun.
    async fn begin(&mut self) -> Result<Finished, Fault> {
        if let Some(finished) = self.finished.take() {
            return Ok(finished);
        }
        let (backup_id, tables) = (self.stored.manifest.backup_id, named(&self.options.tables));
        let was_empty = !self.options.not_empty;
        self.restored.begin(backup_id, &tables, was_empty).await?;
        Ok(Finished {
            backup_id,
            tables,
            was_empty,
            phases: HashSet::new(),
            loaded: HashSet::new(),
            errors: Vec::new(),
        })
    }

    async fn schema(
        &self,
        part: Part,
        head: &[u8],
        jobs: usize,
        clean: bool,
    ) -> Result<Vec<EntryError>, Fault> {
        self.pg_restore.run(part, head, jobs, clean).await
    }

    /// Indexes, constraints and triggers; what failed beside others is tried once more, alone: sessions of pg_restore
    /// that attach indexes of partitions wait for each other until the server ends one.
    async fn post_data(&self, schema: &[u8], clean: bool) -> Result<Vec<EntryError>, Fault> {
        let jobs = self.options.jobs;
        let errors = self.schema(Part::PostData, schema, jobs, clean).await?;
        let failed: HashSet<_> = errors
            .iter()
            .filter(|error| !error.is_of_an_owner())
            .filter_map(|error| error.dump_id)
            .collect();
        if jobs == 1 || failed.is_empty() {
            return Ok(errors);
        }
        let is_head = |entry: &TocEntry| {
            entry.section == Section::PreData && HEAD.iter().any(|kind| entry.description == *kind)
        };
        let again = self
            .plan
            .toc
            .filtered(|entry| failed.contains(&entry.dump_id) || is_head(entry));
        let head = self.source.head_of(&again, false)?;
        let kept = errors.into_iter().filter(|error| {
            error.is_of_an_owner() || error.dump_id.is_none_or(|id| !failed.contains(&id))
        });
        let mut kept: Vec<EntryError> = kept.collect();
        kept.extend(self.schema(Part::PostData, &head, 1, false).await?);
        Ok(kept)
    }

    /// What of the data is not rows that we load; the entries that could not be restored. Blocks are read before, because
    /// pg_restore ends at the first one that is not whole: those are left out.
    async fn rest(&self) -> Result<Vec<EntryError>, Fault> {
        let mut errors = Vec::new();
        let mut whole = Vec::new();
        for entry in &self.plan.blocks {
            match self.source.block(entry, async |_| Ok(())).await? {
                Ok(()) => whole.push(entry),
                Err(damage) => errors.push(EntryError {
                    dump_id: Some(entry.dump_id),
                    message: format!("its stored data {damage}"),
                    command: None,
                }),
            }
        }
        let left_out: HashSet<_> = errors.iter().filter_map(|error| error.dump_id).collect();
        let toc = self
            .plan
            .rest
            .filtered(|entry| !left_out.contains(&entry.dump_id));
        let head = self.source.head_of(&toc, true)?;
        let feed = async |mut pipe: pg_restore::Pipe| {
            if !pipe.write(&head.into()).await {
                return Ok(());
            }
            for entry in whole {
                let block = self.source.block(entry, async |piece| {
                    pipe.write(&piece).await;
                    Ok(())
                });
                if let Err(damage) = block.await? {
                    let what = format!("{} {damage}", entry.name);
                    return Err(Fault::permanent(Code::ArchiveDamaged, what));
                }
            }
            Ok(())
        };
        let ((), refused) = self.pg_restore.run_piped(feed).await?;
        errors.extend(refused);
        Ok(errors)
    }

    fn report(
        &self,
        tables: Vec<report::TableEnd>,
        errors: Vec<EntryError>,
        seconds: Seconds,
    ) -> Report {
        let manifest = &self.stored.manifest;
        let ends = Ends { tables, errors };
        let (verdict, tables, objects) = judge(&self.plan, ends);
        Report {
            backup_id: manifest.backup_id,
            target: manifest.target.clone(),
            into: self.options.into.to_string(),
            server_version: self.restored.version().to_owned(),
            pg_restore: self.pg_restore.major(),
            verdict,
            rows: tables.iter().filter_map(|table| table.rows).sum(),
            raw_bytes: self.plan.raw_bytes(),
            tables,
            objects,
            seconds,
        }
    }
}

/// Makes the empty database of an address, by the server's database `postgres`.
///
/// # Errors
/// The server's, such as that it is there.
pub async fn make_database(url: &DatabaseUrl) -> Result<(), Fault> {
    let mut server = Restored::connect(&url.with_database("postgres"), None).await?;
    server.make_database(url.database()).await
}

/// Entries that every archive begins with: they prepare the session.
const HEAD: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/// pg_restore's options of the same names.
fn arguments(options: &Options) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if options.no_owner {
        arguments.push("--no-owner".into());
    }
    if options.no_privileges {
        arguments.push("--no-privileges".into());
    }
    if let Some(role) = &options.role {
        arguments.push(format!("--role={role}").into());
    }
    arguments
}

/// The tables that were asked for, as a text that is the same for the same ones.
fn named(tables: &[TableName]) -> String {
    let mut names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    names.sort();
    names.join(" ")
}

/// As they are noted in the database.
fn noted(errors: &[EntryError]) -> Vec<Refused> {
    let noted = errors.iter().map(|error| Refused {
        dump_id: error.dump_id.map(DumpId::get),
        message: error.message.clone(),
        command: error.command.clone(),
    });
    noted.collect()
}

/// The major version of a server that says this of itself.
pub(crate) fn major_of(version: &str) -> Option<u32> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
