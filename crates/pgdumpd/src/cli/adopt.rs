//! `pgdumpd adopt`: step one after cloning a database that contains a queue.

use serde_json::json;

use super::exit::{Advised, Exit};
use super::{out, queue_access};
use crate::config::Config;
use crate::queue::Queue;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A copy below PostgreSQL (base backup, disk snapshot, cloud clone) contains the queue with its id: without this command, daemons of the clone would run the jobs that were queued in the original.\n\n\
Daemons that are connected to an adopted queue stop their dumps and exit.")]
pub(super) struct Args {
    /// The id that the queue has now, as `pgdumpd check` shows it
    #[arg(long, value_name = "UUID", value_parser = super::values::job_id)]
    queue_id: uuid::Uuid,
    /// Adopt it although daemons were seen within their lease: a new clone still lists the original's daemons
    #[arg(long)]
    force: bool,
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
    let queue = queue_access::queue(&anonymous).await?;
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
    if !args.force {
        refuse_a_queue_in_use(&queue).await?;
    }
    let Some(adopted) = queue.reset_identity().await? else {
        return Err(Advised::new(
            "the queue's id changed while it was being adopted",
            "Somebody else adopted this queue: `pgdumpd check` shows its id.",
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

/// To adopt the original by mistake would cancel its jobs and end its daemons.
async fn refuse_a_queue_in_use(queue: &Queue) -> anyhow::Result<()> {
    let daemons = queue.live_workers().await?;
    if daemons.is_empty() {
        return Ok(());
    }
    let daemons: Vec<String> = daemons
        .iter()
        .map(|daemon| {
            let seen = daemon.last_seen_at.format("%Y-%m-%d %H:%M:%SZ");
            format!("{} (pid {}, last seen {seen})", daemon.host, daemon.pid)
        })
        .collect();
    Err(Advised::new(
        format!(
            "daemons were seen in this queue within their lease: {}",
            daemons.join(", ")
        ),
        "Never adopt an original in use. A clone that was just made still lists the original's daemons: wait until they count as gone, or give --force.",
    )
    .into())
}
