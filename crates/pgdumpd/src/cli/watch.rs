//! `pgdumpd watch ID`: follows a job to its end.

use pgdumpd_client::{JobState, JobStatus};
use sqlx::PgPool;
use uuid::Uuid;

use super::exit::Exit;
use super::progress_bar::Display;
use super::queue_pool;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's id
    id: Uuid,
    /// Print one JSON object a line, for each change
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let pool = queue_pool::connect(config).await?;
    follow(&pool, args.id, args.json).await
}

/// Shows each change of a job until it ends.
pub(super) async fn follow(pool: &PgPool, id: Uuid, json: bool) -> anyhow::Result<Exit> {
    let mut watch = pgdumpd_client::watch(pool, id);
    let mut display = Display::new(json);
    let mut last: Option<JobStatus> = None;
    while let Some(status) = watch.next().await? {
        display.show(&status)?;
        last = Some(status);
    }
    display.end();
    let Some(status) = last else {
        eprintln_line(&format!("{id}: no such job, or it is another role's"));
        return Ok(Exit::NotFound);
    };
    Ok(exit_of(&status))
}

/// The exit code that tells a job's state.
pub(super) fn exit_of(status: &JobStatus) -> Exit {
    match status.state {
        JobState::Failed => Exit::Failed,
        JobState::Cancelled => Exit::Cancelled,
        JobState::Queued | JobState::Running | JobState::Succeeded => Exit::Done,
    }
}

pub(super) fn eprintln_line(text: &str) {
    use std::io::Write;
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(std::io::stderr(), "pgdumpd: {text}");
}
