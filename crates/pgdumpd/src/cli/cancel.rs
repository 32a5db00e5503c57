//! `pgdumpd cancel ID`

use pgdumpd_client::Cancelled;
use serde_json::json;
use uuid::Uuid;

use super::exit::Exit;
use super::out;
use super::queue_access::Session;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's id
    #[arg(value_parser = super::values::job_id)]
    id: Uuid,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let mut queue = Session::open(config).await?;
    let asked = queue.ask(async |c| pgdumpd_client::cancel(c, args.id).await);
    let outcome = asked.await?;
    let (text, exit) = match outcome {
        Cancelled::Cancelled => ("cancelled: it was queued", Exit::Done),
        Cancelled::Cancelling => ("cancelling: its daemon stops it now", Exit::Done),
        Cancelled::AlreadySucceeded => ("not cancelled: it has already succeeded", Exit::Done),
        Cancelled::AlreadyFailed => ("not cancelled: it has already failed", Exit::Done),
        Cancelled::AlreadyCancelled => ("it was already cancelled", Exit::Done),
        Cancelled::NotFound => ("no such job, or it belongs to another role", Exit::NotFound),
        _ => ("done", Exit::Done),
    };
    if args.json {
        out::json(&json!({ "id": args.id, "outcome": outcome }))?;
    } else {
        out::line(format!("{}: {text}", args.id))?;
    }
    Ok(exit)
}
