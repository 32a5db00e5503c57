//! `pgdumpd fetch ID`: brings a backup, or a few tables of it, back as a local file.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use indicatif::HumanBytes;
use pgdump_archive::TableName;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use super::backup::{Looked, Which};
use super::byte_bar::while_reading;
use super::exit::{Advised, Exit};
use super::identity::IdentityFiles;
use super::{out, verify};
use crate::config::Config;
use crate::readback::{self, Destination, FetchedWhole, Stored, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: IdentityFiles,
    /// Where to write it, - for standard output; by default TARGET-TIME.dump (.globals.sql; .dump.age with --encrypted) in the working directory
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only this table, with what it needs to restore by itself; may be given several times
    #[arg(long = "table", value_name = "SCHEMA.NAME", value_parser = super::values::table_name)]
    tables: Vec<TableName>,
    /// The roles and tablespaces stored beside it, instead of the archive
    #[arg(long, conflicts_with = "tables")]
    globals: bool,
    /// As it is stored, still encrypted: needs no identity
    #[arg(long, conflicts_with_all = ["tables", "globals"])]
    encrypted: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && args.json {
        let hint = "Leave --json out: the exit code says whether the backup is whole.";
        return Err(Advised::new("--json and --output - both need standard output", hint).into());
    }
    if to_stdout && std::io::stdout().is_terminal() {
        let hint = "Name a file, or pipe it: `pgdumpd fetch … --output - | pg_restore …`.";
        return Err(Advised::new("standard output is a terminal", hint).into());
    }
    let fetched = args
        .which
        .with_backup(config, async |stored| fetch(stored, args).await);
    // What was written is removed as it is dropped.
    let mut interrupts = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    tokio::select! {
        fetched = fetched => fetched,
        _ = interrupts.next() => {
            let left = if to_stdout {
                "interrupted; what was written is not whole"
            } else {
                "interrupted; nothing is left of the file"
            };
            super::watch::eprintln_line(left);
            Ok(Exit::Interrupted)
        }
    }
}

async fn fetch(stored: &mut Stored, args: &Args) -> anyhow::Result<Looked> {
    let suffix = match (args.globals, args.encrypted) {
        (true, _) => "globals.sql",
        (false, true) => "dump.age",
        (false, false) => "dump",
    };
    let path = match args.output.as_deref() {
        Some(path) if path == Path::new("-") => None,
        Some(path) => Some(path.to_owned()),
        None => Some(default_name(stored, suffix)),
    };
    let output = Output {
        path,
        begun: AtomicBool::new(false),
        json: args.json,
    };
    let fetched = fetch_to(stored, args, &output).await;
    if !output.begun.load(Ordering::Relaxed) {
        return fetched;
    }
    // Another copy's bytes must not follow.
    match fetched {
        Ok(Looked::Damaged) => Ok(Looked::Done(Exit::CheckFailed)),
        Err(error) => Ok(Looked::Failed(error)),
        done => done,
    }
}

/// Where it goes, and what is said of it.
struct Output {
    /// `None` for standard output, on which nothing is said then.
    path: Option<PathBuf>,
    begun: AtomicBool,
    json: bool,
}

impl Output {
    fn to(&self) -> Destination<'_> {
        match &self.path {
            Some(path) => path.into(),
            None => Destination::Stdout(&self.begun),
        }
    }
}

async fn fetch_to(stored: &mut Stored, args: &Args, output: &Output) -> anyhow::Result<Looked> {
    if args.encrypted {
        return as_it_lies(stored, output).await;
    }
    args.identities.unlock(stored).await?;
    if let Some(fault) = &stored.index_damage {
        super::watch::eprintln_line(&format!("its index is damaged: {}", fault.report()));
    }
    if args.globals {
        globals(stored, output).await
    } else if args.tables.is_empty() {
        whole(stored, output).await
    } else {
        tables(stored, &args.tables, output).await
    }
}

async fn as_it_lies(stored: &Stored, output: &Output) -> anyhow::Result<Looked> {
    if stored.manifest.encryption.is_none() {
        let hint = "Leave --encrypted out.";
        return Err(Advised::new("the backup is not encrypted", hint).into());
    }
    let verdict = while_reading(
        stored,
        "fetching",
        readback::fetch_as_it_lies(stored, output.to()),
    )
    .await?;
    if !stored.matches(&verdict) {
        return Ok(complain(stored, &verdict));
    }
    let Some(path) = &output.path else {
        return Ok(Looked::Done(Exit::Done));
    };
    if output.json {
        out::json(&json!({ "file": path, "size_bytes": verdict.size_bytes }))?;
        return Ok(Looked::Done(Exit::Done));
    }
    out::line(format!(
        "{}: {}, encrypted, with its SHA-256",
        path.display(),
        HumanBytes(verdict.size_bytes)
    ))?;
    out::line(format!(
        "restore it with: age --decrypt --identity IDENTITY {} | pg_restore --exit-on-error --dbname=EMPTY_DATABASE",
        path.display()
    ))?;
    Ok(Looked::Done(Exit::Done))
}

fn complain(stored: &Stored, verdict: &Verdict) -> Looked {
    for complaint in verify::complaints(stored, verdict) {
        super::watch::eprintln_line(&complaint);
    }
    Looked::Damaged
}

async fn whole(stored: &Stored, output: &Output) -> anyhow::Result<Looked> {
    let fetching = readback::fetch_whole(stored, output.to());
    let FetchedWhole { verdict, unfilled } = while_reading(stored, "fetching", fetching).await?;
    if !stored.matches(&verdict) {
        return Ok(complain(stored, &verdict));
    }
    let size_bytes = stored.manifest.archive_bytes();
    let exit = warn(&verdict.differences);
    if let Some(why) = &unfilled {
        super::watch::eprintln_line(&format!(
            "the file does not say where each table's data is, so pg_restore --jobs is slower: {why}"
        ));
    }
    let Some(path) = &output.path else {
        return Ok(Looked::Done(exit));
    };
    if output.json {
        out::json(&json!({ "file": path, "size_bytes": size_bytes }))?;
        return Ok(Looked::Done(exit));
    }
    out::line(format!(
        "{}: {}, verified",
        path.display(),
        HumanBytes(size_bytes)
    ))?;
    let restore = restore_command(stored, path);
    out::line(format!("restore it with: {restore}"))?;
    Ok(Looked::Done(exit))
}

/// Says in what the manifest differs from an archive that is what was stored: it may be of another database.
fn warn(differences: &[String]) -> Exit {
    for difference in differences {
        super::watch::eprintln_line(&format!("the manifest is damaged: {difference}"));
    }
    if differences.is_empty() {
        Exit::Done
    } else {
        Exit::CheckFailed
    }
}

async fn globals(stored: &Stored, output: &Output) -> anyhow::Result<Looked> {
    let Some(size_bytes) = readback::fetch_globals(stored, output.to()).await? else {
        super::watch::eprintln_line(
            "this backup has no globals: set the target's globals to \"without-passwords\" for later ones",
        );
        return Ok(Looked::Done(Exit::NotFound));
    };
    let Some(path) = &output.path else {
        return Ok(Looked::Done(Exit::Done));
    };
    if output.json {
        out::json(&json!({ "file": path, "size_bytes": size_bytes }))?;
        return Ok(Looked::Done(Exit::Done));
    }
    let file = path.display();
    out::line(format!("{file}: {}, verified", HumanBytes(size_bytes)))?;
    // Not ON_ERROR_STOP: the role that one restores as is there already.
    out::line(format!(
        "restore it with: psql --dbname=postgres --file={file}"
    ))?;
    Ok(Looked::Done(Exit::Done))
}

async fn tables(stored: &Stored, wanted: &[TableName], output: &Output) -> anyhow::Result<Looked> {
    let fetched = readback::fetch_tables(stored, wanted, output.to()).await?;
    let exit = warn(&fetched.differences);
    for what in &fetched.incomplete {
        super::watch::eprintln_line(&format!("the file is incomplete: {what}"));
    }
    // Damage counts more.
    let exit = match exit {
        Exit::Done if !fetched.incomplete.is_empty() => Exit::Incomplete,
        exit => exit,
    };
    let Some(path) = &output.path else {
        return Ok(Looked::Done(exit));
    };
    if output.json {
        let tables: Vec<_> = fetched
            .tables
            .iter()
            .map(|(name, rows)| json!({ "table": name, "rows": rows }))
            .collect();
        out::json(&json!({
            "file": path,
            "size_bytes": fetched.size_bytes,
            "read_bytes": fetched.read_bytes,
            "tables": tables,
            "empty_tables": fetched.empty_tables,
            "left_out": fetched.left_out,
            "incomplete": fetched.incomplete,
        }))?;
        return Ok(Looked::Done(exit));
    }
    out::line(format!(
        "{}: {}, verified; {} of {} were read",
        path.display(),
        HumanBytes(fetched.size_bytes),
        HumanBytes(fetched.read_bytes),
        HumanBytes(stored.manifest.object.size_bytes)
    ))?;
    for (name, rows) in &fetched.tables {
        match rows {
            Some(rows) => out::line(format!("  {name}: {rows} rows"))?,
            None => out::line(format!("  {name}"))?,
        }
    }
    for name in &fetched.empty_tables {
        out::line(format!(
            "  {name}: empty, because another table depends on it"
        ))?;
    }
    for name in &fetched.left_out {
        out::line(format!("  left out: {name}"))?;
    }
    let restore = restore_command(stored, path);
    out::line(format!("restore it with: {restore}"))?;
    Ok(Looked::Done(exit))
}

fn restore_command(stored: &Stored, output: &Path) -> String {
    let newer = stored.manifest.restore.minimum_pg_restore;
    let newer = newer.map_or(String::new(), |major| format!(" ({major} or newer)"));
    format!(
        "pg_restore --exit-on-error --jobs=4 --dbname=EMPTY_DATABASE {}{newer}",
        output.display()
    )
}

/// Of characters that every file system takes.
fn default_name(stored: &Stored, suffix: &str) -> PathBuf {
    let manifest = &stored.manifest;
    let target: String = manifest
        .target
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(100)
        .collect();
    let time = manifest.started_at.format("%Y%m%dT%H%M%SZ");
    format!("{target}-{time}.{suffix}").into()
}
