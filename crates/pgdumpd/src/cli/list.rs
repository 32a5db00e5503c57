//! `pgdumpd list`: jobs from the queue, or backups from a storage without it.

use indicatif::HumanBytes;
use pgdumpd_client::{JobKind, JobState, ListFilter};

use super::exit::Exit;
use super::queue_access::Session;
use super::{out, status, storages, watch};
use crate::config::Config;
use crate::store::Manifest;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Read the backups that this storage holds, without the queue
    #[arg(long, value_name = "NAME")]
    storage: Option<String>,
    /// Of this target only
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Jobs in this state only: queued, running, succeeded, failed, cancelled
    #[arg(long, conflicts_with = "storage")]
    state: Option<JobState>,
    /// Show the copies to further storages instead of the backups
    #[arg(long, conflicts_with = "storage")]
    copies: bool,
    /// The most jobs
    #[arg(long, default_value_t = 50, conflicts_with = "storage")]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    if let Some(name) = &args.storage {
        return list_storage(config, name, args).await;
    }
    let mut queue = Session::open(config).await?;
    let filter = ListFilter {
        target: args.target.clone(),
        state: args.state,
        kind: Some(if args.copies {
            JobKind::Copy
        } else {
            JobKind::Backup
        }),
        limit: args.limit,
        ..ListFilter::default()
    };
    let asked = queue.ask(async |c| pgdumpd_client::list(c, &filter).await);
    let jobs = asked.await?;
    status::show_all(&jobs, args.json)?;
    Ok(Exit::Done)
}

async fn list_storage(config: &Config, name: &str, args: &Args) -> anyhow::Result<Exit> {
    let storage = storages::open(config, name).await?;
    let mut backups = Vec::new();
    let mut complete = true;
    for listed in storage.list().await? {
        match listed.manifest {
            Ok(manifest) => backups.push(manifest),
            // A manifest that cannot be read must not hide the others, nor be hidden by them.
            Err(fault) => {
                complete = false;
                watch::eprintln_line(&format!("left out: {}", fault.report()));
            }
        }
    }
    backups.retain(|backup| {
        args.target
            .as_ref()
            .is_none_or(|target| *target == backup.target)
    });
    backups.sort_by_key(|backup| std::cmp::Reverse(backup.finished_at));
    if args.json {
        out::json(&backups)?;
    } else if backups.is_empty() {
        out::line("no backups")?;
    } else {
        out::table(
            &["ID", "TARGET", "FINISHED", "SIZE", "ARCHIVE", "KEY"],
            &rows(&backups),
        )?;
    }
    Ok(if complete {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

fn rows(backups: &[Manifest]) -> Vec<Vec<String>> {
    backups
        .iter()
        .map(|backup| {
            vec![
                backup.backup_id.to_string(),
                backup.target.clone(),
                backup.finished_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
                HumanBytes(backup.object.size_bytes).to_string(),
                backup.archive.compression.clone(),
                backup.object.key.to_string(),
            ]
        })
        .collect()
}
