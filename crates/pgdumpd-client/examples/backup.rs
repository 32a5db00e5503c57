//! Asks pgdumpd for a backup, follows it to its end, and exits with 0, 1 (failed) or 3 (cancelled).
//!
//! ```sh
//! DATABASE_URL=postgres://shop@localhost/shop cargo run -p pgdumpd-client --example backup -- shop [--cancel]
//! ```
#![expect(clippy::print_stderr, reason = "a command line program")]

use std::error::Error;
use std::process::ExitCode;

use pgdumpd_client::{BackupRequest, ClientError, JobState, JobStatus, cancel, enqueue, watch};
use sqlx::PgPool;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let cancel_it = arguments.iter().any(|argument| argument == "--cancel");
    arguments.retain(|argument| argument != "--cancel");
    let (Ok(url), [target]) = (std::env::var("DATABASE_URL"), arguments.as_slice()) else {
        eprintln!("usage: DATABASE_URL=postgres://… backup [--cancel] TARGET");
        return ExitCode::from(2);
    };
    match run(&url, target, cancel_it).await {
        Ok(JobState::Succeeded) => ExitCode::SUCCESS,
        Ok(JobState::Cancelled) => ExitCode::from(3),
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}", report(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str, target: &str, mut cancel_it: bool) -> Result<JobState, Box<dyn Error>> {
    let pool = PgPool::connect(url).await?;

    // What the application writes in this transaction and the request for its backup stand or fall together.
    let mut transaction = pool.begin().await?;
    let request = BackupRequest::new(target).label("from Rust");
    let job = enqueue(&mut *transaction, &request).await?;
    transaction.commit().await?;
    println!("job {}", job.id);

    let mut watch = watch(&pool, job.id);
    while let Some(status) = watch.next().await? {
        print(&status);
        if cancel_it && status.state == JobState::Running {
            println!("cancel: {:?}", cancel(&pool, job.id).await?);
            cancel_it = false;
        }
        if status.state.has_ended() {
            return Ok(status.state);
        }
    }
    Err(format!("job {} is gone", job.id).into())
}

fn print(status: &JobStatus) {
    let message = status.message.as_ref().or(status.waits_because.as_ref());
    let message = message.map_or("", String::as_str);
    let line = format!("{:5.1} %  {:9}  {message}", status.progress, status.state);
    println!("{}", line.trim_end());
    if let (JobState::Failed, Some(error)) = (status.state, &status.error) {
        eprintln!(
            "{error}\n{}",
            status.error_hint.as_deref().unwrap_or_default()
        );
    }
}

/// The error, its causes, and the advice of this crate's own errors.
fn report(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if let Some(hint) = error
        .downcast_ref::<ClientError>()
        .and_then(ClientError::hint)
    {
        text = format!("{text}\n{hint}");
    }
    text
}
