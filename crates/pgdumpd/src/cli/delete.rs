//! `pgdumpd delete ID`: removes a backup from its storage, manifest first.

use anyhow::Context;
use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{out, queue_pool, watch};
use crate::config::Config;
use crate::store::{ObjectKey, Storage};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup's id (its job's)
    #[arg(value_parser = super::values::job_id)]
    id: Uuid,
    /// Do it; without this the command only says what it would remove
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let queue = queue_pool::queue(&config.queue).await?;
    let Some(copy) = queue.copy_of(args.id).await? else {
        watch::eprintln_line(&format!(
            "{}: no storage holds a backup of this job",
            args.id
        ));
        return Ok(Exit::NotFound);
    };
    let key = ObjectKey::parse(&copy.object_key)?;
    let Some(storage) = config.storages.get(&copy.storage) else {
        return Err(Advised::new(
            format!(
                "the backup lies in storage \"{}\", which this configuration does not have",
                copy.storage
            ),
            "Run this command where the storage is configured.",
        )
        .into());
    };
    let storage = Storage::open_existing(&copy.storage, storage, None)
        .await
        .with_context(|| format!("cannot open storage \"{}\"", copy.storage))?;
    if storage.id() != copy.storage_id {
        return Err(Advised::new(
            format!(
                "storage \"{}\" here has the id {}, the backup lies in one with the id {}",
                copy.storage,
                storage.id(),
                copy.storage_id
            ),
            "Run this command on the host whose storage holds the backup.",
        )
        .into());
    }
    if !args.yes {
        out::line(format!(
            "would remove {key} ({} bytes) from storage \"{}\"; add --yes to do it",
            copy.size_bytes, copy.storage
        ))?;
        return Ok(Exit::Done);
    }
    storage.delete_backup(&key).await?;
    queue.mark_copy_deleted(args.id, copy.storage_id).await?;
    out::line(format!("removed {key} from storage \"{}\"", copy.storage))?;
    Ok(Exit::Done)
}
