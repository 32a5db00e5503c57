//! `pgdumpd adopt`: step one after cloning a database that contains a queue.

use serde_json::json;

use super::exit::{Advised, Exit};
use super::{out, queue_pool};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A copy below PostgreSQL (base backup, disk snapshot, cloud clone) carries the queue with it, its id included: \
without this command, daemons of the clone would take up what was queued in the original.")]
pub(super) struct Args {
    /// The id that the queue has now, as `pgdumpd check` says it
    #[arg(long, value_name = "UUID", value_parser = super::values::job_id)]
    queue_id: uuid::Uuid,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    // The configuration of the original may name the old id, which is just what is to change.
    let anonymous = crate::config::QueueConfig {
        queue_id: None,
        ..config.queue.clone()
    };
    let queue = queue_pool::queue(&anonymous).await?;
    if queue.id() != args.queue_id {
        return Err(Advised::new(
            format!(
                "the queue at {} has the id {}, not {}",
                config.queue.url,
                queue.id(),
                args.queue_id
            ),
            "Make sure that this is the clone, and give the id that it has.",
        )
        .into());
    }
    let Some(adopted) = queue.reset_identity().await? else {
        return Err(Advised::new(
            "the queue's id has changed in this very moment",
            "Somebody else adopts this queue: look with `pgdumpd check`.",
        )
        .into());
    };
    if args.json {
        out::json(
            &json!({ "old_id": args.queue_id, "new_id": adopted.id, "cancelled": adopted.cancelled, "failed": adopted.failed }),
        )?;
    } else {
        out::line(format!(
            "this queue is {} now; {} queued jobs were cancelled, {} running ones ended",
            adopted.id, adopted.cancelled, adopted.failed
        ))?;
    }
    Ok(Exit::Done)
}
