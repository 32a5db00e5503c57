//! `pgdumpd cancel ID`

use pgdumpd_client::Cancelled;
use serde_json::json;
use uuid::Uuid;

use super::exit::Exit;
use super::{out, queue_pool};
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
    let pool = queue_pool::connect(config).await?;
    let mut transaction = queue_pool::begin(&pool).await?;
    let outcome = pgdumpd_client::cancel(&mut *transaction, args.id).await?;
    transaction.commit().await?;
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
