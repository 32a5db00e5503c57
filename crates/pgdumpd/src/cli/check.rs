//! `pgdumpd check`: connects to everything and says what would fail tonight.

use std::sync::Arc;

use serde_json::json;

use super::exit::Exit;
use super::{out, queue_access};
use crate::checks::{self, Checked, Report};
use crate::config::Loaded;
use crate::context::{KnownStorages, resolve_targets};
use crate::finding::{Finding, Severity};
use crate::queue::Queue;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave out what is as it should be
    #[arg(long)]
    problems: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(loaded: &Loaded, args: &Args) -> anyhow::Result<Exit> {
    let Loaded {
        config, warnings, ..
    } = loaded;
    let queue = queue_access::queue(&config.queue).await;
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
    report.add(
        "configuration",
        warnings
            .iter()
            .map(|warning| Finding::warning("configuration", warning)),
    );
    if args.problems {
        let is_problem = |checked: &Checked| checked.finding.severity > Severity::Ok;
        report.findings.retain(is_problem);
        for (_, found) in &mut daemons {
            found.findings.retain(is_problem);
        }
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
        let queue_id = queue.as_ref().ok().map(Queue::id);
        out::json(
            &json!({ "queue_id": queue_id, "findings": report.findings, "daemons": daemons }),
        )?;
    } else {
        show(&report)?;
        for (daemon, found) in &daemons {
            if !args.problems {
                out::line("")?;
                out::line(format!("as daemon {daemon} found it:"))?;
            } else if !found.findings.is_empty() {
                out::line(format!("as daemon {daemon} found it:"))?;
            }
            show(found)?;
        }
        if args.problems && worst == Some(Severity::Ok) {
            out::line("no problems")?;
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
