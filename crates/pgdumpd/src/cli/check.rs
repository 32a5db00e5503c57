//! `pgdumpd check`: connects to everything and says what would fail tonight.

use std::sync::Arc;

use serde_json::json;

use super::exit::Exit;
use super::{out, queue_pool};
use crate::checks::{self, Checked, Report};
use crate::config::Config;
use crate::context::{KnownStorages, resolve_targets};
use crate::finding::Severity;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let queue = queue_pool::queue(&config.queue).await;
    let remembered = match &queue {
        Ok(queue) => queue.remembered_storages().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let known = KnownStorages::only_existing(remembered);
    let catalog = resolve_targets(config, None, Arc::new(known)).await;
    let mut report = checks::run(config, &catalog, queue.as_ref().ok()).await;
    let mut daemons = Vec::new();
    match &queue {
        Ok(queue) => {
            // What each daemon found itself, from inside its sandbox.
            for daemon in queue.live_workers().await? {
                let found: Report = daemon
                    .checks
                    .clone()
                    .and_then(|found| serde_json::from_value(found).ok())
                    .unwrap_or_default();
                daemons.push((format!("{} (pid {})", daemon.host, daemon.pid), found));
            }
        }
        Err(error) => report.findings.insert(
            0,
            Checked {
                subject: "queue".to_owned(),
                finding: error.into(),
            },
        ),
    }
    let worst = daemons
        .iter()
        .map(|(_, found)| found.worst())
        .chain([report.worst()])
        .max();
    if args.json {
        let daemons: Vec<_> = daemons
            .iter()
            .map(|(daemon, found)| json!({ "daemon": daemon, "findings": found.findings }))
            .collect();
        out::json(&json!({ "findings": report.findings, "daemons": daemons }))?;
    } else {
        show(&report)?;
        for (daemon, found) in &daemons {
            out::line(format!("\nas daemon {daemon} found it:"))?;
            show(found)?;
        }
    }
    Ok(if worst == Some(Severity::Error) {
        Exit::CheckFailed
    } else {
        Exit::Done
    })
}

fn show(report: &Report) -> anyhow::Result<()> {
    for Checked { subject, finding } in &report.findings {
        let mark = match finding.severity {
            Severity::Ok => "ok     ",
            Severity::Warning => "warning",
            Severity::Error => "ERROR  ",
        };
        out::line(format!("{mark}  {subject}: {}", finding.what))?;
        if let Some(hint) = &finding.hint {
            out::line(format!("         hint: {hint}"))?;
        }
    }
    Ok(())
}
