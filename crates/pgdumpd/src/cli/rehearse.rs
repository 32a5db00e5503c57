//! `pgdumpd rehearse ID`: restores a backup into a server that exists only for that, and compares what came back.

use std::path::PathBuf;

use futures_util::StreamExt as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;

use super::backup::{Looked, Which};
use super::exit::Exit;
use super::identity::IdentityFiles;
use super::restore::{cores, show, with_bar};
use super::{out, watch};
use crate::config::Config;
use crate::readback::Stored;
use crate::rehearsal::{Rehearsal, Rehearsed, rehearse};
use crate::restore::Progress;
use crate::text::on_one_line;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 all of it came back and is equal, and each check is true; 6 something is missing, is not equal, or is not true.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: IdentityFiles,
    /// An SQL statement on the restored database that must give true; may be given several times
    #[arg(long = "check", value_name = "SQL")]
    checks: Vec<String>,
    /// How many connections restore; by default one for each core
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The folder below which the server lies while it runs; by default that of temporary files
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let how = Rehearsed {
        jobs: args.jobs.map_or_else(cores, usize::from),
        checks: args.checks.clone(),
        below: args.directory.clone().unwrap_or_else(std::env::temp_dir),
        directories: config.pg_dump.directories.clone(),
    };
    let rehearsed = args.which.with_backup(config, async |stored| {
        rehearse_one(stored, args, &how).await
    });
    let mut interrupts = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    tokio::select! {
        rehearsed = rehearsed => rehearsed,
        _ = interrupts.next() => {
            watch::eprintln_line("interrupted; the server is removed");
            Ok(Exit::Interrupted)
        }
    }
}

async fn rehearse_one(stored: &mut Stored, args: &Args, how: &Rehearsed) -> anyhow::Result<Looked> {
    args.identities.unlock(stored).await?;
    let progress = Progress::default();
    let raw_bytes = stored.manifest.archive.raw_bytes.unwrap_or_default();
    let found = with_bar(&progress, raw_bytes, rehearse(stored, how, &progress)).await?;
    if args.json {
        out::json(&found)?;
    } else {
        say(stored, &found)?;
    }
    Ok(if found.proved {
        Looked::Proved
    } else {
        Looked::Done(Exit::CheckFailed)
    })
}

fn say(stored: &Stored, found: &Rehearsal) -> anyhow::Result<()> {
    show(&found.restore)?;
    for table in &found.other_rows {
        out::line(format!(
            "ERROR    {}: its rows are others than those of the backup",
            on_one_line(table)
        ))?;
    }
    for what in found.other_schema.iter().flatten() {
        out::line(format!("ERROR    the schema: {}", on_one_line(what)))?;
    }
    for check in &found.checks {
        let sql = on_one_line(&check.sql);
        match (&check.error, check.passed) {
            (Some(error), _) => out::line(format!("ERROR    {sql}: {}", on_one_line(error)))?,
            (None, false) => out::line(format!("ERROR    {sql}: not true"))?,
            (None, true) => out::line(format!("ok       {sql}"))?,
        }
    }
    let verdict = if found.proved {
        "proved: restored and equal"
    } else {
        "NOT proved"
    };
    out::line(format!(
        "storage \"{}\": {} is {verdict}, in {:.1} s",
        stored.storage.name(),
        stored.manifest.backup_id,
        found.seconds
    ))?;
    Ok(())
}
