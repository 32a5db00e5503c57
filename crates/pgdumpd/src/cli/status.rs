//! `pgdumpd status [ID]`

use pgdumpd_client::{JobState, JobStatus, ListFilter};
use uuid::Uuid;

use super::exit::Exit;
use super::progress_bar::last_line;
use super::queue_access::Session;
use super::{out, watch};
use crate::config::Config;
use crate::text::on_one_line;

/// Jobs of each state shown at most.
const MOST: u32 = 50;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With an ID, the exit code is 4 for a failed job, 5 for a cancelled one, 3 for an unknown one."
)]
pub(super) struct Args {
    /// The job's id; without it, what is queued and running, copies too
    #[arg(value_parser = super::values::job_id)]
    id: Option<Uuid>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let mut queue = Session::open(config).await?;
    let Some(id) = args.id else {
        return open_jobs(&mut queue, args.json).await;
    };
    let asked = queue.ask(async |c| pgdumpd_client::status(c, id).await);
    let Some(status) = asked.await? else {
        watch::eprintln_line(&format!("{id}: no such job, or it belongs to another role"));
        return Ok(Exit::NotFound);
    };
    if args.json {
        out::json(&status)?;
    } else {
        show_one(&status)?;
    }
    Ok(watch::exit_of(&status))
}

/// What is running and queued.
async fn open_jobs(queue: &mut Session, json: bool) -> anyhow::Result<Exit> {
    let mut open = Vec::new();
    let mut cut = Vec::new();
    for state in [JobState::Running, JobState::Queued] {
        let filter = ListFilter {
            state: Some(state),
            kind: None,
            limit: MOST + 1,
            ..ListFilter::default()
        };
        let asked = queue.ask(async |c| pgdumpd_client::list(c, &filter).await);
        let mut jobs = asked.await?;
        if jobs.len() > MOST as usize {
            jobs.truncate(MOST as usize);
            cut.push(state);
        }
        open.append(&mut jobs);
    }
    show_all(&open, json)?;
    for state in cut {
        watch::eprintln_line(&format!(
            "the newest {MOST} {state} jobs are shown; more: pgdumpd list --state {state} --limit N"
        ));
    }
    Ok(Exit::Done)
}

/// A table of jobs.
pub(super) fn show_all(jobs: &[JobStatus], json: bool) -> anyhow::Result<()> {
    if json {
        out::json(&jobs)?;
        return Ok(());
    }
    if jobs.is_empty() {
        out::line("no jobs")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            vec![
                job.id.to_string(),
                target_of(job),
                job.state.to_string(),
                format!("{:.1} %", job.progress),
                job.elapsed.clone().unwrap_or_default(),
                job.created_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
                message_of(job),
            ]
        })
        .collect();
    out::table(
        &[
            "ID", "TARGET", "STATE", "PROGRESS", "ELAPSED", "ENQUEUED", "",
        ],
        &rows,
    )?;
    Ok(())
}

/// A copy's storage stands behind its target.
fn target_of(job: &JobStatus) -> String {
    match &job.copy_to {
        Some(storage) => format!("{} > {storage}", job.target),
        None => job.target.clone(),
    }
}

fn message_of(job: &JobStatus) -> String {
    let text = match job.state {
        JobState::Queued => job.waits_because.as_deref(),
        JobState::Running => job.message.as_deref(),
        JobState::Failed => job.error.as_deref(),
        JobState::Succeeded | JobState::Cancelled => job.label.as_deref(),
    };
    let line = text.unwrap_or_default().lines().next().unwrap_or_default();
    line.chars().take(100).collect()
}

fn show_one(status: &JobStatus) -> anyhow::Result<()> {
    out::line(last_line(status))?;
    out::line(format!("target:   {}", status.target))?;
    if let Some(label) = &status.label {
        out::line(format!("label:    {}", on_one_line(label)))?;
    }
    if let (Some(backup), Some(storage)) = (status.copy_of, &status.copy_to) {
        out::line(format!("copies:   backup {backup} to storage {storage}"))?;
    }
    out::line(format!(
        "attempt:  {} of {}",
        status.attempt, status.max_attempts
    ))?;
    out::line(format!("progress: {:.1} %", status.progress))?;
    if let Some(why) = &status.waits_because {
        out::line(format!("waits:    {why}"))?;
    }
    if status.state == JobState::Queued
        && let Some(error) = &status.error
    {
        out::line(format!("last error: {}", on_one_line(error)))?;
    }
    if status.state == JobState::Running
        && let Some(message) = &status.message
    {
        out::line(format!("now:      {}", on_one_line(message)))?;
    }
    if let Some(sha256) = &status.sha256 {
        out::line(format!("sha256:   {sha256}"))?;
        out::line(format!("copies:   {}", status.copies))?;
    }
    Ok(())
}
