//! Writes the man pages of pgdumpd: one for the program, and one for each command. script/release runs it.

mod page;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Write pgdumpd's man pages.
#[derive(Debug, Parser)]
struct Args {
    /// The folder to write into; made if it does not exist
    folder: PathBuf,
    /// The date in each page's footer, as YYYY-MM-DD
    #[arg(long)]
    date: String,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let cannot = || format!("cannot write man pages into {}", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(cannot)?;
    for (name, text) in page::all(&args.date)? {
        std::fs::write(args.folder.join(name), text).with_context(cannot)?;
    }
    Ok(())
}
