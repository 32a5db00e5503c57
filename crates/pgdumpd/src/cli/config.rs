//! `pgdumpd config`: the configuration as it was understood.

use super::exit::Exit;
use super::out;
use crate::config::Loaded;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Every effective value with its source and without secrets, as text or as JSON.
pub(super) fn run(loaded: &Loaded, args: &Args) -> anyhow::Result<Exit> {
    if args.json {
        out::lines(format!("{:#}", loaded.describe_json()))?;
    } else {
        out::lines(loaded.describe().trim_end())?;
    }
    Ok(Exit::Done)
}
