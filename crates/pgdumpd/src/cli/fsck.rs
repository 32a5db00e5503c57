//! `pgdumpd fsck`: compares the queue's rows with what the storages hold.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};
use uuid::Uuid;

use super::exit::{Advised, Exit};
use super::{out, queue_access, storages};
use crate::config::{Config, QueueConfig};
use crate::fault::Fault;
use crate::finding::Severity;
use crate::fsck::{self, ExamineError, Finding, RebuildError, Repaired, StorageReport};
use crate::queue::Queue;
use crate::store::Storage;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only objects with this queue's id are checked; those of other queues are counted. Storages that this host cannot reach are reported, and not checked.\n\n\
Exit codes: 0 nothing is wrong (or all of it was repaired), 6 something is.")]
pub(super) struct Args {
    /// Only this storage; may be given several times
    #[arg(long = "storage", value_name = "NAME")]
    storages: Vec<String>,
    /// Remove what failed attempts left, and record in the queue what is gone or was found
    #[arg(long, conflicts_with = "rebuild")]
    repair: bool,
    /// Recreate the rows that a lost or older queue lacks from the manifests; only the queue's owner can
    #[arg(long)]
    rebuild: bool,
    /// With --rebuild: the id of the queue to rebuild, if the storages hold backups of several
    #[arg(long, value_name = "UUID", requires = "rebuild", value_parser = super::values::job_id)]
    queue_id: Option<Uuid>,
    /// Ignore what is younger than this; it must exceed the longest backup and any difference of clocks
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = humantime::parse_duration)]
    safe_age: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    let names: Vec<&String> = if args.storages.is_empty() {
        config.storages.keys().collect()
    } else {
        args.storages.iter().collect()
    };
    let mut storages = Vec::new();
    let mut away = Vec::new();
    for name in names {
        match storages::open(config, name).await {
            Ok(storage) => storages.push(storage),
            Err(error) if config.storages.contains_key(name) => away.push((name.clone(), error)),
            Err(error) => return Err(error),
        }
    }
    if args.rebuild {
        if let Some((_, error)) = away.pop() {
            return Err(error);
        }
        return rebuild(config, args, &storages).await;
    }
    let queue = queue_access::queue(&config.queue).await?;
    let mut report = Report::default();
    for (name, error) in away {
        report.away(name, &error);
    }
    let safe_age = chrono::TimeDelta::from_std(args.safe_age).unwrap_or(chrono::TimeDelta::MAX);
    for storage in &storages {
        match fsck::examine(storage, &queue, safe_age).await {
            Ok(found) => report.storages.push((storage.name().to_owned(), found)),
            Err(ExamineError::Storage(fault)) => {
                report.away(storage.name().to_owned(), &fault.into());
            }
            Err(ExamineError::Queue(error)) => return Err(error.into()),
        }
    }
    if args.storages.is_empty() {
        let here: Vec<Uuid> = storages.iter().map(Storage::id).collect();
        for (name, id, backups) in queue.stored_elsewhere(&here).await? {
            report.elsewhere.insert(format!("{name} ({id})"), backups);
        }
    }
    if args.repair {
        report.repair(&queue, &storages).await;
    }
    if args.json {
        out::json(&report.json())?;
    } else {
        report.show()?;
    }
    Ok(if report.is_clean() {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

/// What is printed at the end.
#[derive(Default)]
struct Report {
    storages: Vec<(String, StorageReport)>,
    /// What this host cannot reach: a storage, and why.
    away: Vec<(String, String)>,
    /// Backups in storages that are not in this configuration, by the storages' names.
    elsewhere: BTreeMap<String, i64>,
    /// The result of each finding's repair, by its place.
    repaired: BTreeMap<(usize, usize), Result<Repaired, Fault>>,
}

impl Report {
    fn away(&mut self, name: String, error: &anyhow::Error) {
        let why = crate::fault::chain(error.as_ref());
        self.away.push((name, why));
    }

    async fn repair(&mut self, queue: &Queue, storages: &[Storage]) {
        for (at, (name, report)) in self.storages.iter().enumerate() {
            let Some(storage) = storages.iter().find(|storage| storage.name() == name) else {
                continue;
            };
            for (number, finding) in report.findings.iter().enumerate() {
                let repaired = fsck::repair(finding, storage, queue).await.transpose();
                if let Some(repaired) = repaired {
                    self.repaired.insert((at, number), repaired);
                }
            }
        }
    }

    fn is_clean(&self) -> bool {
        let settled = |place| matches!(self.repaired.get(&place), Some(Ok(_)));
        let all = |at: usize, report: &StorageReport| {
            let mut findings = report.findings.iter().enumerate();
            findings
                .all(|(number, finding)| finding.severity == Severity::Ok || settled((at, number)))
        };
        self.away.is_empty()
            && self
                .storages
                .iter()
                .enumerate()
                .all(|(at, (_, report))| all(at, report))
    }

    fn json(&self) -> Value {
        let storages: Vec<Value> = self
            .storages
            .iter()
            .enumerate()
            .map(|(at, (name, report))| {
                let findings: Vec<Value> = report
                    .findings
                    .iter()
                    .enumerate()
                    .map(|(number, finding)| {
                        let mut entry = json!(finding);
                        entry["repaired"] = match self.repaired.get(&(at, number)) {
                            None => Value::Null,
                            Some(Ok(Repaired::Done)) => "done".into(),
                            Some(Ok(Repaired::Changed)) => "changed".into(),
                            Some(Err(fault)) => fault.report().into(),
                        };
                        entry
                    })
                    .collect();
                json!({
                    "storage": name,
                    "good": report.good,
                    "explained": report.explained,
                    "of_other_queues": report.foreign,
                    "unknown": report.unknown,
                    "findings": findings,
                })
            })
            .collect();
        let away: Vec<Value> = self
            .away
            .iter()
            .map(|(name, why)| json!({ "storage": name, "why": why }))
            .collect();
        json!({ "clean": self.is_clean(), "storages": storages, "away": away, "elsewhere": self.elsewhere })
    }

    fn show(&self) -> std::io::Result<()> {
        for (at, (name, report)) in self.storages.iter().enumerate() {
            out::line(format!("storage \"{name}\": {}", summary(report)))?;
            for (number, finding) in report.findings.iter().enumerate() {
                show(finding)?;
                match self.repaired.get(&(at, number)) {
                    None => {}
                    Some(Ok(Repaired::Done)) => out::line("           repaired")?,
                    Some(Ok(Repaired::Changed)) => {
                        out::line("           not repaired: it has changed since")?;
                    }
                    Some(Err(fault)) => {
                        out::line(format!("           not repaired: {}", fault.report()))?;
                    }
                }
            }
        }
        for (name, why) in &self.away {
            out::line(format!("storage \"{name}\": not checked: {why}"))?;
        }
        for (name, count) in &self.elsewhere {
            out::line(format!(
                "storage {name}: {count} backups, not checked: only a host that has this storage can do that"
            ))?;
        }
        Ok(())
    }
}

fn summary(report: &StorageReport) -> String {
    let mut parts = vec![match report.good {
        1 => "1 backup is as it should be".to_owned(),
        good => format!("{good} backups are as they should be"),
    }];
    if report.explained > 0 {
        parts.push(format!("{} objects in progress", report.explained));
    }
    if report.foreign > 0 {
        parts.push(format!("{} objects of other queues", report.foreign));
    }
    if !report.unknown.is_empty() {
        parts.push(format!("{} objects of others", report.unknown.len()));
    }
    parts.join(", ")
}

fn show(finding: &Finding) -> std::io::Result<()> {
    let mark = match finding.severity {
        Severity::Error => "ERROR  ",
        Severity::Warning => "warning",
        Severity::Ok => "note   ",
    };
    let size = finding
        .size_bytes
        .map(|bytes| HumanBytes(bytes).to_string());
    let age = finding.age.map(|age| format!("{} old", HumanDuration(age)));
    let about: Vec<String> = [size, age].into_iter().flatten().collect();
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" ({})", about.join(", "))
    };
    out::line(format!(
        "  {mark}  {}: {}{about}",
        finding.code, finding.key
    ))?;
    out::line(format!("           {}", finding.what))?;
    match (finding.advice, &finding.remedy) {
        (Some(advice), _) => out::line(format!("           hint: {advice}")),
        (None, Some(_)) => out::line("           hint: --repair removes it."),
        (None, None) => Ok(()),
    }
}

async fn rebuild(config: &Config, args: &Args, storages: &[Storage]) -> anyhow::Result<Exit> {
    let mut held = Vec::new();
    for storage in storages {
        held.extend(storage.list().await?.into_iter().map(|listed| fsck::Held {
            storage: storage.name().to_owned(),
            storage_id: storage.id(),
            listed,
        }));
    }
    // The configuration may name the id of the lost queue, which this one does not have yet.
    let anonymous = QueueConfig {
        queue_id: None,
        ..config.queue.clone()
    };
    let queue = queue_access::queue(&anonymous).await?;
    let wanted = args.queue_id.or(config.queue.queue_id);
    let rebuilt = fsck::rebuild(&queue, held, wanted).await.map_err(advised)?;
    if args.json {
        out::json(&json!({
            "queue_id": rebuilt.queue_id,
            "found": rebuilt.found,
            "jobs": rebuilt.jobs,
            "copies": rebuilt.copies,
            "without_age": rebuilt.without_age,
            "left_out": rebuilt.left_out,
        }))?;
    } else {
        out::line(format!(
            "queue {}: of {} backups found, rows of {} jobs and {} copies were missing, and were made",
            rebuilt.queue_id, rebuilt.found, rebuilt.jobs, rebuilt.copies
        ))?;
        if rebuilt.without_age > 0 {
            out::line(format!(
                "{} of them do not say when they were claimed: keep_last neither counts nor deletes them",
                rebuilt.without_age
            ))?;
        }
        for why in &rebuilt.left_out {
            out::line(format!("left out: {why}"))?;
        }
    }
    Ok(if rebuilt.left_out.is_empty() {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

fn advised(error: RebuildError) -> anyhow::Error {
    let hint = match &error {
        RebuildError::NothingFound => {
            "`pgdumpd list --storage NAME` shows what a storage holds; its keys begin with the id for --queue-id."
        }
        RebuildError::SeveralQueues(_) => "Name the one that was lost with --queue-id.",
        RebuildError::NotEmpty(_) => {
            "Only an empty queue can become the one that was lost: make one with `pgdumpd migrate` in a new database. A queue in use only gets rows of its own backups."
        }
        RebuildError::NotOwner => {
            "Run it with queue.url (or DATABASE_URL) as the role that runs `pgdumpd migrate`, the owner of the schema."
        }
        RebuildError::DaemonsAlive(_) => "Stop them first: `systemctl stop pgdumpd`.",
        _ => return error.into(),
    };
    Advised::new(error.to_string(), hint).into()
}
