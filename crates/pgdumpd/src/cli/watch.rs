//! `pgdumpd watch ID`: follows a job to its end.

use futures_util::StreamExt as _;
use pgdumpd_client::{JobState, JobStatus};
use signal_hook::consts::SIGINT;
use signal_hook_tokio::Signals;
use sqlx::PgPool;
use uuid::Uuid;

use super::exit::Exit;
use super::progress_bar::Display;
use super::{out, queue_pool};
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The exit code is 0 for a succeeded job, 4 for a failed one, 5 for a cancelled one, 3 for an unknown one. Ctrl-C \
ends the watching (130), not the job.")]
pub(super) struct Args {
    /// The job's id
    #[arg(value_parser = super::values::job_id)]
    id: Uuid,
    /// Print one JSON object a line, for each change
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let pool = queue_pool::connect(config).await?;
    follow(config, &pool, args.id, args.json).await
}

/// Shows each change of a job until it ends.
pub(super) async fn follow(
    config: &Config,
    pool: &PgPool,
    id: Uuid,
    json: bool,
) -> anyhow::Result<Exit> {
    let mut watch = pgdumpd_client::watch(pool, id);
    if config.queue.pooled || !config.queue.listen {
        watch = watch.without_listen();
    }
    let mut interrupts = Signals::new([SIGINT])?;
    let mut display = Display::new(json);
    let mut last: Option<JobStatus> = None;
    loop {
        let next = tokio::select! {
            next = watch.next() => next,
            _ = interrupts.next() => {
                display.end();
                eprintln_line(&format!(
                    "no longer watching; the job continues, `pgdumpd cancel {id}` cancels it"
                ));
                return Ok(Exit::Interrupted);
            }
        };
        let Some(status) = next.inspect_err(|_| display.end())? else {
            break;
        };
        display.show(&status)?;
        last = Some(status);
    }
    display.end();
    let Some(status) = last else {
        eprintln_line(&format!("{id}: no such job, or it belongs to another role"));
        return Ok(Exit::NotFound);
    };
    Ok(exit_of(&status))
}

/// The exit code for a job's state.
pub(super) fn exit_of(status: &JobStatus) -> Exit {
    match status.state {
        JobState::Failed => Exit::Failed,
        JobState::Cancelled => Exit::Cancelled,
        JobState::Queued | JobState::Running | JobState::Succeeded => Exit::Done,
    }
}

pub(super) fn eprintln_line(text: &str) {
    use std::io::Write;
    // Nobody reads it if standard error is closed.
    let _ = writeln!(std::io::stderr(), "pgdumpd: {}", out::printable(text));
}
