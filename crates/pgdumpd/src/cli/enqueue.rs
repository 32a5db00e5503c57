//! `pgdumpd enqueue TARGET [--wait]`

use std::time::Duration;

use chrono::{DateTime, Utc};
use pgdumpd_client::{BackupRequest, BackupSpec};
use serde_json::json;
use uuid::Uuid;

use super::exit::Exit;
use super::queue_access::{self, Session};
use super::{out, watch};
use crate::config::{self, Config};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the job's id. With --wait, the exit code is 4 if the backup failed, 5 if it was cancelled, 8 if no daemon \
serves the target. Ctrl-C ends the wait (130), not the job.")]
pub(super) struct Args {
    /// The target's name
    target: String,
    /// Follow the job to its end; the exit code shows how it ended
    #[arg(long)]
    wait: bool,
    /// With --wait: end the wait (8) once no daemon has served the target for so long; the job stays queued
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    wait_timeout: Duration,
    /// 1 (first) to 5 (last)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=5))]
    priority: i32,
    /// Start no earlier than this (RFC 3339, such as 2030-01-31T02:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = super::values::time)]
    run_at: Option<DateTime<Utc>>,
    /// At most one job of a target has this key; enqueueing again returns that job's id
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The most attempts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=100))]
    max_attempts: i32,
    /// How long the backup may take, such as 90m or 6h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// The job's id: any UUID that no job has had
    #[arg(long, value_name = "UUID", value_parser = super::values::job_id)]
    id: Option<Uuid>,
    /// Your own label, kept in the manifest
    #[arg(long)]
    label: Option<String>,
    /// Your own JSON object, kept in the queue beside the job, such as {"user": 7}
    #[arg(long, value_name = "JSON", value_parser = super::values::json_object)]
    metadata: Option<serde_json::Value>,
    /// Dump only these schemas (a pattern of pg_dump's; several allowed)
    #[arg(long = "schema", value_name = "PATTERN")]
    schemas: Vec<String>,
    /// Leave these schemas out
    #[arg(long = "exclude-schema", value_name = "PATTERN")]
    exclude_schemas: Vec<String>,
    /// Dump only these tables
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Leave these tables out
    #[arg(long = "exclude-table", value_name = "PATTERN")]
    exclude_tables: Vec<String>,
    /// Leave the rows of these tables out
    #[arg(long = "exclude-table-data", value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
    /// The W3C trace context that the job belongs to; every log line of it has it
    #[arg(long, value_name = "TRACEPARENT")]
    trace_parent: Option<String>,
    /// Print JSON (with --wait one object a line, for each change)
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: Args) -> anyhow::Result<Exit> {
    let (wait, wait_timeout, json) = (args.wait, args.wait_timeout, args.json);
    let request = args.request();
    let mut queue = Session::open(config).await?;
    let asked = queue.ask(async |c| pgdumpd_client::enqueue(c, &request).await);
    let enqueued = asked.await?;
    if json {
        out::json(&json!({ "id": enqueued.id, "is_new": enqueued.is_new }))?;
    } else if enqueued.is_new {
        out::line(enqueued.id.to_string())?;
    } else {
        out::line(format!(
            "{} (enqueued before under this idempotency key)",
            enqueued.id
        ))?;
    }
    warn_if_unserved(config, &mut queue, enqueued.id).await;
    drop(queue);
    if wait {
        let pool = queue_access::pool(&config.queue).await?;
        watch::follow(config, &pool, enqueued.id, json, Some(wait_timeout)).await
    } else {
        Ok(Exit::Done)
    }
}

/// A name that is a mistake is accepted, because another daemon's configuration may have it: but not in silence.
async fn warn_if_unserved(config: &Config, queue: &mut Session, id: Uuid) {
    let asked = queue.ask(async |c| pgdumpd_client::status(c, id).await);
    let Ok(Some(status)) = asked.await else {
        return;
    };
    if !status.unserved {
        return;
    }
    let target = &status.target;
    let similar = config::did_you_mean(target, config.targets.keys().map(String::as_str));
    let similar = similar.filter(|similar| similar != target);
    let question = similar.map(|similar| format!(" (did you mean \"{similar}\"?)"));
    watch::eprintln_line(&format!(
        "warning: no daemon serves target \"{target}\"{}: the job waits until one does",
        question.unwrap_or_default()
    ));
}

impl Args {
    fn request(self) -> BackupRequest {
        let mut request = BackupRequest::new(self.target)
            .priority(self.priority)
            .max_attempts(self.max_attempts)
            .spec(BackupSpec {
                schemas: self.schemas,
                exclude_schemas: self.exclude_schemas,
                tables: self.tables,
                exclude_tables: self.exclude_tables,
                exclude_table_data: self.exclude_table_data,
                label: self.label,
            });
        if let Some(id) = self.id {
            request = request.with_id(id);
        }
        if let Some(run_at) = self.run_at {
            request = request.run_at(run_at);
        }
        if let Some(key) = self.idempotency_key {
            request = request.idempotency_key(key);
        }
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if let Some(trace_parent) = self.trace_parent {
            request = request.trace_parent(trace_parent);
        }
        if let Some(metadata) = self.metadata {
            request = request.metadata(metadata);
        }
        request
    }
}
