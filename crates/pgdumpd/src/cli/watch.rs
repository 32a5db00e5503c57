//! `pgdumpd watch ID`: follows a job to its end.

use std::time::Duration;

use futures_util::StreamExt as _;
use pgdumpd_client::{JobState, JobStatus};
use signal_hook::consts::SIGINT;
use signal_hook_tokio::Signals;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::exit::Exit;
use super::progress_bar::Display;
use super::queue_access;
use crate::config::Config;
use crate::redact::without_secrets;
use crate::text::on_one_line;

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
    let pool = queue_access::pool(&config.queue).await?;
    follow(config, &pool, args.id, args.json, None).await
}

/// Shows each change of a job until it ends, or until no daemon has served its target for so long.
pub(super) async fn follow(
    config: &Config,
    pool: &PgPool,
    id: Uuid,
    json: bool,
    unserved_limit: Option<Duration>,
) -> anyhow::Result<Exit> {
    let mut watch = pgdumpd_client::watch(pool, id);
    if config.queue.pooled || !config.queue.listen {
        watch = watch.without_listen();
    }
    let mut interrupts = Signals::new([SIGINT])?;
    let mut display = Display::new(json);
    let mut last: Option<JobStatus> = None;
    let mut unserved_since: Option<Instant> = None;
    loop {
        let given_up = async {
            match (unserved_since, unserved_limit) {
                (Some(since), Some(limit)) => tokio::time::sleep_until(since + limit).await,
                _ => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            next = watch.next() => next,
            () = given_up => {
                display.end();
                eprintln_line(&format!(
                    "no daemon has served the target for {}: the job stays queued, `pgdumpd cancel {id}` cancels it",
                    humantime::format_duration(unserved_limit.unwrap_or_default())
                ));
                return Ok(Exit::Unserved);
            }
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
        unserved_since = if status.unserved {
            unserved_since.or_else(|| Some(Instant::now()))
        } else {
            None
        };
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
    let _ = writeln!(
        std::io::stderr(),
        "pgdumpd: {}",
        on_one_line(&without_secrets(text))
    );
}
