//! `pgdumpd show ID`: what a backup holds.

use indicatif::{HumanBytes, HumanCount};
use pgdump_archive::{DataKind, Index};
use serde_json::json;

use super::backup::{Looked, Which};
use super::exit::Exit;
use super::identity::IdentityFiles;
use super::{out, watch};
use crate::config::Config;
use crate::readback::Stored;
use crate::store::Manifest;
use crate::text::{count_of, on_one_line};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: IdentityFiles,
    /// Print the manifest with its index as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let shown = args.which.with_backup(config, async |stored| {
        show(stored, args).await.map(Looked::Done)
    });
    shown.await
}

async fn show(stored: &mut Stored, args: &Args) -> anyhow::Result<Exit> {
    args.identities.unlock(stored).await?;
    let (manifest, index) = (&stored.manifest, &stored.index);
    let exit = match &stored.index_damage {
        Some(fault) => {
            watch::eprintln_line(&format!("its index is damaged: {}", fault.report()));
            Exit::CheckFailed
        }
        None => Exit::Done,
    };
    if args.json {
        let mut whole = serde_json::to_value(manifest)?;
        whole["index"] = json!(index);
        out::json(&whole)?;
        return Ok(exit);
    }
    show_fields(manifest, stored.storage.name())?;
    if manifest.is_sealed() && stored.is_locked() {
        out::line("")?;
        out::line(
            "Its tables, filters and warnings are sealed: give --identity FILE to see them.",
        )?;
    }
    if let Some(index) = index {
        out::line("")?;
        let headings = ["TABLE", "ROWS", "DATA", "STORED", "XXH3-128 OF THE DATA"];
        out::table(&headings, &rows(index))?;
    }
    Ok(exit)
}

fn show_fields(manifest: &Manifest, storage: &str) -> anyhow::Result<()> {
    let archive = &manifest.archive;
    let line = |name: &str, value: String| out::line(format!("{name:<12} {}", on_one_line(&value)));
    line("backup", manifest.backup_id.to_string())?;
    line("target", manifest.target.clone())?;
    if let Some(label) = &manifest.label {
        line("label", label.clone())?;
    }
    let database = &manifest.database;
    line(
        "database",
        format!("{}, PostgreSQL {}", database.name, database.server_version),
    )?;
    line(
        "started",
        manifest.started_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
    )?;
    line(
        "finished",
        manifest
            .finished_at
            .format("%Y-%m-%d %H:%M:%SZ")
            .to_string(),
    )?;
    let part = if manifest.partial {
        "a part of the database"
    } else {
        "the whole database"
    };
    line("holds", part.to_owned())?;
    if let (Some(tables), Some(raw)) = (archive.tables, archive.raw_bytes) {
        let rows = archive
            .rows
            .map_or("?".to_owned(), |rows| HumanCount(rows).to_string());
        line(
            "data",
            format!(
                "{}, {rows} rows, {}",
                count_of(tables, "table"),
                HumanBytes(raw)
            ),
        )?;
    }
    line(
        "archive",
        format!(
            "{}, version {}, {}",
            HumanBytes(manifest.object.size_bytes),
            archive.format_version.as_deref().unwrap_or("unknown"),
            archive.compression
        ),
    )?;
    if let Some(encryption) = &manifest.encryption {
        line("encrypted", format!("{}, to:", encryption.format))?;
        for recipient in &encryption.recipients {
            line("", recipient.clone())?;
        }
    }
    if let Some(globals) = &manifest.globals {
        let passwords = if globals.passwords { "with" } else { "without" };
        let size = HumanBytes(globals.size_bytes);
        line(
            "globals",
            format!("{size} of roles and tablespaces, {passwords} passwords"),
        )?;
    }
    line("storage", storage.to_owned())?;
    line("key", manifest.object.key.to_string())?;
    line("sha256", manifest.object.sha256.clone())?;
    line("restore", manifest.restore.hint.clone())?;
    if manifest.warnings_total > 0 {
        line("warnings", manifest.warnings_total.to_string())?;
        for warning in &manifest.warnings {
            line("", warning.clone())?;
        }
    }
    Ok(())
}

fn rows(index: &Index) -> Vec<Vec<String>> {
    let row = |entry: &pgdump_archive::IndexEntry| {
        let count = match entry.kind {
            DataKind::LargeObjects => {
                let objects = entry.large_objects.unwrap_or(0);
                format!("{} objects", HumanCount(objects))
            }
            _ => entry
                .rows
                .map_or("?".to_owned(), |rows| HumanCount(rows).to_string()),
        };
        vec![
            crate::readback::name_of(entry),
            count,
            HumanBytes(entry.raw_bytes).to_string(),
            HumanBytes(entry.stored_bytes).to_string(),
            entry.raw_xxh3_128.to_string(),
        ]
    };
    index.entries.iter().map(row).collect()
}
