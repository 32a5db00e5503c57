//! `pgdumpd verify ID`: reads a stored backup again, in each storage that holds it, and compares it with its manifest.

use indicatif::HumanBytes;
use serde_json::json;

use super::backup::Which;
use super::byte_bar::while_reading;
use super::exit::Exit;
use super::identity::IdentityFiles;
use super::out;
use crate::code::Code;
use crate::config::Config;
use crate::fault::Fault;
use crate::readback::{self, Stored, Verdict};
use crate::text::count_of;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: IdentityFiles,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let verified = args
        .which
        .with_every_copy(config, async |stored| verify(stored, args).await);
    verified.await
}

async fn verify(stored: &mut Stored, args: &Args) -> anyhow::Result<Exit> {
    args.identities.unlock(stored).await?;
    let stored = &*stored;
    let verdict = while_reading(stored, "verifying", readback::verify(stored)).await?;
    let globals = match readback::read_globals(stored).await {
        Err(fault) if fault.code() == Code::GlobalsDamaged => Err(fault.to_string()),
        read => Ok(read?.is_some()),
    };
    let good = stored.matches(&verdict)
        && verdict.differences.is_empty()
        && globals.is_ok()
        && stored.index_damage.is_none();
    if args.json {
        out::json(&json!({
            "backup_id": stored.manifest.backup_id,
            "storage": stored.storage.name(),
            "good": good,
            "found": verdict,
            "manifest_has_checksum": stored.manifest.has_checksum(),
            "index_damage": stored.index_damage.as_ref().map(Fault::report),
            "globals_good": globals.as_ref().map_or(Some(false), |there| there.then_some(true)),
        }))?;
    } else if good {
        out::line(format!(
            "storage \"{}\": {}",
            stored.storage.name(),
            praise(stored, &verdict)
        ))?;
        if globals.is_ok_and(|there| there) {
            out::line("its roles and tablespaces are good")?;
        }
        if !stored.manifest.has_checksum() {
            out::line(
                "its manifest is of format 1 and has no checksum: some changes in it cannot be detected",
            )?;
        }
    } else {
        for complaint in complaints(stored, &verdict) {
            out::line(complaint)?;
        }
        if let Err(what) = globals {
            out::line(format!("  damaged: {what}"))?;
        }
    }
    Ok(match (good, verdict.unopened) {
        (true, false) => Exit::Done,
        (true, true) => Exit::Incomplete,
        (false, _) => Exit::CheckFailed,
    })
}

fn praise(stored: &Stored, verdict: &Verdict) -> String {
    let id = stored.manifest.backup_id;
    let bytes = HumanBytes(verdict.size_bytes);
    if verdict.unopened {
        return format!(
            "{id} is what was stored: {bytes} with their SHA-256; they are encrypted, and what is inside was not \
             checked: give --identity FILE"
        );
    }
    let tables = verdict.good.map(|good| count_of(good as u64, "block"));
    let rows = stored.manifest.archive.rows;
    match (tables, rows.map(|rows| count_of(rows, "row"))) {
        (Some(tables), Some(rows)) => format!(
            "{id} is good: {bytes} with their SHA-256, {tables} of data with their checksums, and {rows}"
        ),
        (Some(tables), None) => format!(
            "{id} is good: {bytes} with their SHA-256, {tables} of data with their checksums"
        ),
        (None, _) => format!("{id} is good: {bytes} with their SHA-256"),
    }
}

/// What is damaged, and what is not.
pub(super) fn complaints(stored: &Stored, verdict: &Verdict) -> Vec<String> {
    let wanted = &stored.manifest.object;
    let mut lines = vec![format!(
        "storage \"{}\": {} is damaged",
        stored.storage.name(),
        stored.manifest.backup_id
    )];
    if verdict.size_bytes != wanted.size_bytes {
        lines.push(format!(
            "  the object has {} bytes, its manifest says {}",
            verdict.size_bytes, wanted.size_bytes
        ));
    } else if verdict.sha256 != wanted.sha256 {
        lines.push("  the object's SHA-256 is not what its manifest says".to_owned());
    }
    if let Some(fault) = &stored.index_damage {
        lines.push(format!("  damaged: the index: {}", fault.report()));
    }
    for difference in &verdict.differences {
        lines.push(format!("  differs: {difference}"));
    }
    for damage in &verdict.damaged {
        let what = damage
            .table
            .as_deref()
            .unwrap_or("header or table of contents");
        lines.push(format!("  damaged: {what}: {}", damage.what));
    }
    if let (Some(good @ 1..), Some(index)) = (verdict.good, &stored.index) {
        lines.push(format!(
            "  good: {good} of {} blocks of data; `pgdumpd fetch --table` fetches them one by one",
            index.entries.len()
        ));
    }
    lines
}
