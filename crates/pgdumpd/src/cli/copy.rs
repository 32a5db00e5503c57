//! `pgdumpd copy ID`: asks for copies that were not asked for when the backup was taken, or have failed since.

use serde_json::json;
use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{out, queue_access, storages, watch};
use crate::config::Config;
use crate::queue::CopyRow;
use crate::store::ObjectKey;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup's id (its job's)
    #[arg(value_parser = super::values::job_id)]
    id: Uuid,
    /// The storage to copy it to; may be given more than once. Without it, all of its target's `copies`
    #[arg(long, value_name = "STORAGE")]
    to: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let queue = queue_access::queue(&config.queue).await?;
    let held = queue.copies_of(args.id).await?;
    if held.is_empty() {
        watch::eprintln_line(&format!(
            "{}: no storage holds a backup of this job",
            args.id
        ));
        return Ok(Exit::NotFound);
    }
    let ours = |copy: &CopyRow| {
        ObjectKey::parse(&copy.object_key).is_ok_and(|key| key.is_of_queue(queue.id()))
    };
    if !held.iter().any(ours) {
        return Err(Advised::new(
            format!(
                "{}: the backup belongs to another queue than {}",
                args.id,
                queue.id()
            ),
            "This queue was adopted, and the backup is the original's: copy it there.",
        )
        .into());
    }
    let wanted = wanted(config, args).await?;
    let mut results = Vec::new();
    for to in &wanted {
        let stored = is_one_of(&held, config, to).await;
        let job = if stored {
            None
        } else {
            queue.ask_for_copy(args.id, to).await?
        };
        let (outcome, text) = match job {
            Some(job) => (
                "enqueued",
                format!("{job}: the copy to storage \"{to}\" is enqueued"),
            ),
            None if stored => (
                "stored",
                format!("storage \"{to}\" holds the backup already"),
            ),
            None => (
                "under_way",
                format!("the copy to storage \"{to}\" is under way already"),
            ),
        };
        results.push(json!({ "to": to, "outcome": outcome, "job": job }));
        if !args.json {
            out::line(text)?;
        }
    }
    if args.json {
        out::json(&json!({ "id": args.id, "copies": results }))?;
    }
    Ok(Exit::Done)
}

/// Whether the storage of this name is one of those that hold the backup: by its id, or by its name where it cannot be
/// opened here.
async fn is_one_of(held: &[CopyRow], config: &Config, name: &str) -> bool {
    match storages::open(config, name).await {
        Ok(storage) => held.iter().any(|copy| copy.storage_id == storage.id()),
        Err(_) => held.iter().any(|copy| copy.storage == name),
    }
}

/// The storages that were named, or those of the backup's target.
async fn wanted(config: &Config, args: &Args) -> anyhow::Result<Vec<String>> {
    let known: Vec<&str> = config.storages.keys().map(String::as_str).collect();
    if let Some(unknown) = args.to.iter().find(|to| !known.contains(&to.as_str())) {
        return Err(Advised::new(
            format!("storage \"{unknown}\" is not configured"),
            format!("Configured are: {}.", known.join(", ")),
        )
        .into());
    }
    if !args.to.is_empty() {
        return Ok(args.to.clone());
    }
    let mut queue = queue_access::Session::open(config).await?;
    let asked = queue.ask(async |c| pgdumpd_client::status(c, args.id).await);
    let status = asked.await?;
    let target = status.map(|status| status.target).unwrap_or_default();
    match config.targets.get(&target) {
        Some(target) if !target.copies.is_empty() => Ok(target.copies.clone()),
        _ => Err(Advised::new(
            format!("target \"{target}\" has no copies in this configuration"),
            "Name a storage with --to, or set the target's copies.",
        )
        .into()),
    }
}
