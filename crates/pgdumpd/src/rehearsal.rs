//! A rehearsal: a backup is restored into a PostgreSQL that exists only for that, read out again, and compared with what
//! was backed up. Only what was restored and is equal is proved to be restorable.

mod contents;
mod throwaway;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::dump;
use crate::fault::Fault;
use crate::readback::Stored;
use crate::restore::{self, Options, Progress, Report, Restore, Verdict, Weight};
use crate::server::Restored;

use throwaway::Throwaway;

pub use contents::other_rows;

/// The database that is restored into.
const DATABASE: &str = "rehearsal";

/// How a backup is rehearsed.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// How many sessions restore.
    pub jobs: usize,
    /// Statements that must each give one row with one value, which is true.
    pub checks: Vec<String>,
    /// Where the server lies for as long as it runs.
    pub below: PathBuf,
    /// Where the programs of PostgreSQL may be.
    pub directories: Vec<PathBuf>,
}

/// What a rehearsal found.
#[derive(Debug, Clone, Serialize)]
pub struct Rehearsal {
    /// Whether all of it is there and equal, and every check is true.
    pub proved: bool,
    /// What was restored.
    pub restore: Report,
    /// Tables whose rows, read out again, are not those of the backup.
    pub other_rows: Vec<String>,
    /// In what the schema, dumped again, differs from the backup's; `None` where another version of pg_dump made the
    /// backup, which writes the same things in other words.
    pub other_schema: Option<Vec<String>>,
    /// Each check.
    pub checks: Vec<Checked>,
    /// How long all of it took, from the server's start.
    pub seconds: f64,
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The statement.
    pub sql: String,
    /// Whether it gave true.
    pub passed: bool,
    /// What the server said, where it could not be run.
    pub error: Option<String>,
}

/// Rehearses a backup. The server is gone when this returns, or is dropped, or its process is killed.
///
/// # Errors
/// `rehearsal_refused`, those of the storage, and those of the restore.
pub async fn rehearse(
    stored: &Stored,
    how: &Rehearsed,
    progress: &Progress,
) -> Result<Rehearsal, Fault> {
    let of_server = restore::major_of(&stored.manifest.database.server_version);
    let program = dump::find(&how.directories, of_server.unwrap_or_default()).await?;
    let bin = program.path().parent().unwrap_or(program.path());
    let began = Instant::now();
    let server = Throwaway::start(bin, &how.below).await?;
    let found = run(stored, how, &server, &program, progress).await;
    server.stop().await;
    found.map(|rehearsal| Rehearsal {
        seconds: began.elapsed().as_secs_f64(),
        ..rehearsal
    })
}

async fn run(
    stored: &Stored,
    how: &Rehearsed,
    server: &Throwaway,
    program: &dump::Program,
    progress: &Progress,
) -> Result<Rehearsal, Fault> {
    let url = server.url(DATABASE)?;
    let mut admin = Restored::connect(&server.url("postgres")?, None).await?;
    admin.make_database(DATABASE).await?;
    let restore = Restore::prepare(stored, options(how, url.clone())).await?;
    for role in restore.roles() {
        admin.make_role(&role).await?;
    }
    let tables = restore.comparable();
    let toc = restore.toc().clone();
    let by_this_version = restore.dumped_by() == Some(program.major());
    let report = restore.run(progress).await?;

    let other_rows = contents::other_rows(&url, &tables).await?;
    let other_schema = match by_this_version {
        true => Some(contents::other_schema(program.path(), &url, &toc).await?),
        false => None,
    };
    let mut checks = Vec::new();
    let mut database = Restored::connect(&url, None).await?;
    for sql in &how.checks {
        let checked = database.check(sql).await;
        checks.push(Checked {
            sql: sql.clone(),
            passed: checked == Ok(true),
            error: checked.err(),
        });
    }
    let proved = came_back(&report)
        && other_rows.is_empty()
        && other_schema.as_ref().is_none_or(Vec::is_empty)
        && checks.iter().all(|check| check.passed);
    Ok(Rehearsal {
        proved,
        restore: report,
        other_rows,
        other_schema,
        checks,
        seconds: 0.0,
    })
}

/// Whether all of it is there: roles that only grants name need not be on a throwaway server.
fn came_back(report: &Report) -> bool {
    let tables = report.tables.iter();
    let mut objects = report.objects.iter();
    tables
        .map(|table| table.verdict)
        .all(|verdict| verdict == Verdict::Equal)
        && objects.all(|object| object.weight == Weight::Cosmetic)
}

fn options(how: &Rehearsed, into: crate::database_url::DatabaseUrl) -> Options {
    Options {
        into,
        jobs: how.jobs,
        tables: Vec::new(),
        no_owner: false,
        no_privileges: false,
        role: None,
        not_empty: false,
        resume: false,
        // What the server lacks is what the rehearsal shows.
        force: true,
        merge: false,
        rows: None,
        as_owner: true,
        analyze: false,
        directories: how.directories.clone(),
    }
}
