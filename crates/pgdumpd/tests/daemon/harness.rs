//! A world of its own for each test: a queue, target databases, a storage, and daemons as processes.

mod cli;
pub(crate) mod copies;
mod daemon;
mod files;
mod jobs;
mod world;

use std::time::Duration;

pub(crate) use cli::Said;
pub(crate) use daemon::{Daemon, logged};
pub(crate) use world::World;

/// Long enough for a machine that does something else, too.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}
