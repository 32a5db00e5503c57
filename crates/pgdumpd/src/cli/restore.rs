//! `pgdumpd restore ID --into URL`: loads a backup into a database, and says what came back.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pgdump_archive::TableName;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::time::{MissedTickBehavior, interval};

use super::backup::{Looked, Which};
use super::exit::{Advised, Exit};
use super::identity::IdentityFiles;
use super::{out, watch};
use crate::config::Config;
use crate::database_url::DatabaseUrl;
use crate::finding::{Finding, Severity};
use crate::readback::Stored;
use crate::restore::{self, Merged, Options, Progress, Report, Restore, Verdict, Weight};
use crate::text::{count_of, on_one_line};

const STEP: Duration = Duration::from_millis(200);
/// Tables that are listed without --verbose where nothing is wrong with them.
const LISTED: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all of it is there and equal to what was backed up, 7 all rows are there but an index, a constraint, an \
owner or the like is not, 6 rows or tables are missing (or the backup is damaged), 1 it could not go on.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: IdentityFiles,
    /// The database to restore into: postgres://ROLE@HOST/DATABASE
    #[arg(
        long,
        value_name = "URL",
        env = "PGDUMPD_RESTORE_INTO",
        hide_env_values = true
    )]
    into: String,
    /// How many connections load rows and make indexes; by default one for each core
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Only this table, with what it needs; may be given several times
    #[arg(long = "table", value_name = "SCHEMA.NAME", value_parser = super::values::table_name)]
    tables: Vec<TableName>,
    /// Bring only rows back, into the table of --table that is there: those that are missing by its key; all others stay as they are
    #[arg(long, requires = "tables", conflicts_with_all = ["not_empty", "resume", "no_owner", "no_privileges", "report"])]
    merge: bool,
    /// With --merge: only the rows of which this SQL condition is true, such as "id BETWEEN 10 AND 20"
    #[arg(long, value_name = "CONDITION", requires = "merge")]
    rows: Option<String>,
    /// Leave everything to the role that restores
    #[arg(long)]
    no_owner: bool,
    /// Leave grants out
    #[arg(long)]
    no_privileges: bool,
    /// Become this role first
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Make the database first; by the server's database "postgres"
    #[arg(long, conflicts_with_all = ["resume", "not_empty", "merge", "dry_run"])]
    create: bool,
    /// Restore into a database that is not empty
    #[arg(long)]
    not_empty: bool,
    /// Go on with a restore that was ended in the middle
    #[arg(long)]
    resume: bool,
    /// Restore in spite of what the server lacks
    #[arg(long)]
    force: bool,
    /// Do not gather statistics at the end
    #[arg(long)]
    no_analyze: bool,
    /// Look at the backup and the database, say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the report to this file, too: as JSON where its name ends with .json, else as Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let into = DatabaseUrl::parse(&args.into).map_err(|error| {
        Advised::new(
            format!("--into is not a database's address: {error}"),
            "It is written as postgres://ROLE@HOST/DATABASE; percent-encode signs in a password.",
        )
    })?;
    let options = Options {
        into,
        jobs: jobs(args),
        tables: args.tables.clone(),
        no_owner: args.no_owner,
        no_privileges: args.no_privileges,
        role: args.role.clone(),
        not_empty: args.not_empty,
        resume: args.resume,
        force: args.force,
        merge: args.merge,
        rows: args.rows.clone(),
        as_owner: false,
        analyze: !args.no_analyze,
        directories: config.pg_dump.directories.clone(),
    };
    let restored = args
        .which
        .with_backup(config, async |stored| restore(stored, args, &options).await);
    let mut interrupts = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    tokio::select! {
        restored = restored => restored,
        _ = interrupts.next() => {
            watch::eprintln_line(&format!("interrupted; {}", after_an_interrupt(args)));
            Ok(Exit::Interrupted)
        }
    }
}

/// What is left, and the way on.
fn after_an_interrupt(args: &Args) -> &'static str {
    if args.dry_run {
        "nothing was changed"
    } else if args.merge {
        "tables that were reported are done, and the others are as they were: the same command goes on"
    } else if args.not_empty {
        "with --not-empty it cannot go on: drop what it made, and the schema pgdumpd_restore"
    } else if args.create {
        "the same command with --resume in place of --create goes on from here"
    } else {
        "the same command with --resume goes on from here"
    }
}

fn jobs(args: &Args) -> usize {
    args.jobs.map_or_else(cores, usize::from)
}

/// How many cores there are.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

async fn restore(stored: &mut Stored, args: &Args, options: &Options) -> anyhow::Result<Looked> {
    args.identities.unlock(stored).await?;
    if let Some(fault) = &stored.index_damage {
        watch::eprintln_line(&format!("its index is damaged: {}", fault.report()));
        return Ok(Looked::Damaged);
    }
    if let Some(path) = &args.report {
        // It should not fail only after the restore.
        let made = tokio::fs::write(path, "").await;
        made.with_context(|| format!("the report cannot be written to {}", path.display()))?;
    }
    if args.create {
        restore::make_database(&options.into).await?;
    }
    let restore = Restore::prepare(stored, options.clone()).await?;
    for finding in &restore.findings {
        say(finding);
    }
    if !args.json {
        for line in restore.summary() {
            out::line(line)?;
        }
    }
    if args.dry_run {
        show_plan(&restore, args.json)?;
        let exit = if restore.is_refused() {
            Exit::CheckFailed
        } else {
            Exit::Done
        };
        return Ok(Looked::Done(exit));
    }
    if restore.is_refused() {
        watch::eprintln_line("nothing was changed");
        return Ok(Looked::Done(Exit::CheckFailed));
    }
    let progress = Progress::default();
    let total = restore.raw_bytes();
    if args.merge {
        let merged = with_bar(&progress, total, restore.merge(&progress)).await?;
        return Ok(Looked::Done(show_merged(&merged, args.json)?));
    }
    let ended = with_bar(&progress, total, restore.run(&progress)).await;
    // Another copy would find the database half restored.
    match ended {
        Ok(report) => Ok(Looked::Done(finish(args, &report).await?)),
        Err(fault) => Ok(Looked::Failed(anyhow::Error::new(fault).context(
            "the restore could not go on; once this is mended, the same command with --resume goes on",
        ))),
    }
}

fn say(finding: &Finding) {
    let mark = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Ok => "note",
    };
    watch::eprintln_line(&format!("{mark}: {}", finding.what));
    if let Some(hint) = &finding.hint {
        watch::eprintln_line(&format!("hint: {hint}"));
    }
}

fn show_plan(restore: &Restore<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        let tables: Vec<_> = restore
            .tables()
            .map(|(table, rows, bytes)| serde_json::json!({ "table": table, "rows": rows, "raw_bytes": bytes }))
            .collect();
        let findings = &restore.findings;
        out::json(&serde_json::json!({ "tables": tables, "findings": findings }))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = restore
        .tables()
        .map(|(table, rows, bytes)| {
            vec![
                on_one_line(table).into_owned(),
                rows.map(|rows| HumanCount(rows).to_string())
                    .unwrap_or_default(),
                HumanBytes(bytes).to_string(),
            ]
        })
        .collect();
    out::table(&["TABLE", "ROWS", "DATA"], &rows)?;
    out::line("nothing was changed: --dry-run")?;
    Ok(())
}

async fn finish(args: &Args, report: &Report) -> anyhow::Result<Exit> {
    if args.json {
        out::json(report)?;
    } else {
        show(report)?;
    }
    if let Some(path) = &args.report {
        let text = if path.extension().is_some_and(|kind| kind == "json") {
            serde_json::to_string_pretty(report)?
        } else {
            restore::markdown(report)
        };
        let written = tokio::fs::write(path, text).await;
        written.with_context(|| format!("the report cannot be written to {}", path.display()))?;
    }
    Ok(match report.verdict {
        Verdict::Equal => Exit::Done,
        Verdict::Remarks => Exit::Incomplete,
        Verdict::Lost => Exit::CheckFailed,
    })
}

fn show_merged(merged: &[Merged], json: bool) -> anyhow::Result<Exit> {
    if json {
        out::json(&merged)?;
    }
    for table in merged.iter().filter(|_| !json) {
        let name = on_one_line(&table.table);
        match (&table.error, table.rows_there) {
            (Some(error), _) => out::line(format!(
                "{name}: nothing was changed: {}",
                on_one_line(error)
            ))?,
            (None, Some(there)) => out::line(format!(
                "{name}: {} came back, {} of the backup were there already",
                count_of(table.rows_added, "row"),
                count_of(there, "row")
            ))?,
            (None, None) => {
                out::line(format!(
                    "{name}: {} came back",
                    count_of(table.rows_added, "row")
                ))?;
            }
        }
    }
    for table in merged.iter().filter(|table| table.rows_missing > 0) {
        watch::eprintln_line(&format!(
            "{}: {} did not come back: a trigger or a rule of the table keeps them out",
            on_one_line(&table.table),
            count_of(table.rows_missing, "row")
        ));
    }
    let failed = merged.iter().any(|table| table.error.is_some());
    let missing = merged.iter().any(|table| table.rows_missing > 0);
    Ok(match (failed, missing) {
        (true, _) => Exit::CheckFailed,
        (false, true) => Exit::Incomplete,
        (false, false) => Exit::Done,
    })
}

/// The verdicts, and what could not be restored.
pub(super) fn show(report: &Report) -> anyhow::Result<()> {
    let shown: Vec<Vec<String>> = report
        .tables
        .iter()
        .enumerate()
        .filter(|(at, table)| *at < LISTED || table.verdict != Verdict::Equal)
        .map(|(_, table)| {
            vec![
                on_one_line(&table.table).into_owned(),
                table
                    .rows
                    .map(|rows| HumanCount(rows).to_string())
                    .unwrap_or_default(),
                restore::in_words(table.verdict).to_owned(),
                on_one_line(&table.remarks.join("; ")).into_owned(),
            ]
        })
        .collect();
    out::table(&["TABLE", "ROWS", "VERDICT", ""], &shown)?;
    let more = report.tables.len() - shown.len();
    if more > 0 {
        out::line(format!("and {more} tables more, all equal"))?;
    }
    for object in &report.objects {
        let weight = match object.weight {
            Weight::Data => "ERROR  ",
            Weight::Constraint => "warning",
            Weight::Cosmetic => "note   ",
        };
        let (name, error) = (on_one_line(&object.object), on_one_line(&object.error));
        out::line(format!("{weight}  {name}: {error}"))?;
    }
    out::line(restore::in_a_sentence(report))?;
    Ok(())
}

/// Waits for the restore, and shows on standard error how far it is.
pub(super) async fn with_bar<T>(
    progress: &Progress,
    total: u64,
    work: impl Future<Output = T>,
) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{msg} [{bar:30}] {percent:>3} % {bytes} of {total_bytes}, {elapsed}",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = steps.tick() => {
                bar.set_message(progress.phase());
                bar.set_position(progress.raw_bytes());
            }
        }
    };
    bar.finish_and_clear();
    done
}
