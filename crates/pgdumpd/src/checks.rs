//! What would fail tonight: connects to everything that a backup needs and says what it found. The daemon
//! runs this from inside its sandbox, `pgdumpd check` from a shell; the two may differ, so both are shown.

mod room;

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};

use crate::config::{Config, PgDumpConfig, TargetConfig};
use crate::context::{Catalog, agreement};
use crate::dump;
use crate::finding::{Finding, Severity};
use crate::former_database;
use crate::http;
use crate::queue::{KeptQuota, Queue, ReceiverTrouble};
use crate::server::Target;
use crate::text::count_of;

/// One subject that does not answer must not keep the others from being reported.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Subjects checked concurrently: those that do not answer must not add up to hours.
const AT_ONCE: usize = 8;

/// What was found, subject by subject.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The queue, the targets and the storages, each by name.
    pub findings: Vec<Checked>,
}

/// A finding and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checked {
    /// Such as `queue`, `target shop`, `storage local`.
    pub subject: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Report {
    /// The findings that are not as they should be.
    pub fn problems(&self) -> impl Iterator<Item = &Checked> {
        self.findings
            .iter()
            .filter(|checked| checked.finding.severity > Severity::Ok)
    }

    /// How many findings there are of each severity.
    pub fn counts(&self) -> [(&'static str, usize); 3] {
        let of = |severity| {
            let found = self.findings.iter();
            found
                .filter(|checked| checked.finding.severity == severity)
                .count()
        };
        [
            ("ok", of(Severity::Ok)),
            ("warning", of(Severity::Warning)),
            ("error", of(Severity::Error)),
        ]
    }

    /// The worst severity.
    pub fn worst(&self) -> Severity {
        self.findings
            .iter()
            .map(|checked| checked.finding.severity)
            .max()
            .unwrap_or(Severity::Ok)
    }

    /// Adds findings of one subject.
    pub(crate) fn add(&mut self, subject: &str, findings: impl IntoIterator<Item = Finding>) {
        let prefix = format!("{subject}: ");
        let checked = findings.into_iter().map(|mut finding| {
            if let Some(rest) = finding.what.strip_prefix(&prefix) {
                finding.what = rest.to_owned();
            }
            Checked {
                subject: subject.to_owned(),
                finding,
            }
        });
        self.findings.extend(checked);
    }
}

/// Checks the queue (where there is a connection), each target and each storage.
pub async fn run(config: &Config, catalog: &Catalog, queue: Option<&Queue>) -> Report {
    let mut report = Report::default();
    if let Some(queue) = queue {
        report.add("queue", check_queue(queue).await);
        match queue.differences(None).await {
            Ok(found) => {
                for difference in found {
                    let subject = format!("target {}", difference.target);
                    report.add(&subject, [agreement::finding(&difference)]);
                }
            }
            Err(error) => report.add("queue", [(&error).into()]),
        }
    }
    report.add("http", http::check(&config.http).await);
    if let Some(queue) = queue {
        check_receivers(config, queue, &mut report).await;
    }
    for (target, finding) in &catalog.unserved {
        report.add(&format!("target {target}"), [finding.clone()]);
    }
    let mut checks: Vec<BoxFuture<'_, (String, Vec<Finding>)>> = Vec::new();
    for (name, target) in &catalog.targets {
        checks.push(Box::pin(async move {
            let findings = check_target(name, target, catalog, queue, &config.pg_dump);
            (format!("target {name}"), in_time(findings).await)
        }));
    }
    for (name, target) in &catalog.targets {
        let Some(queue) = queue else { break };
        checks.push(Box::pin(async move {
            let findings = async {
                let found = room::of_target(name, target, catalog, queue).await;
                found.into_iter().collect()
            };
            (format!("target {name}"), in_time(findings).await)
        }));
    }
    for (name, storage) in &catalog.storages {
        checks.push(Box::pin(async move {
            let findings = async {
                match catalog.known.open(name, storage).await {
                    Ok(storage) => storage.probe().await,
                    Err(fault) => vec![(&fault).into()],
                }
            };
            (format!("storage {name}"), in_time(findings).await)
        }));
    }
    let mut checked = stream::iter(checks).buffered(AT_ONCE);
    while let Some((subject, findings)) = checked.next().await {
        report.add(&subject, findings);
    }
    if let Some(queue) = queue {
        // Now that each storage has been opened, so that its id is known.
        for (name, finding) in check_memory(catalog, queue).await {
            report.add(&format!("storage {name}"), [finding]);
        }
    }
    report
}

/// Whether receivers take what they are sent.
async fn check_receivers(config: &Config, queue: &Queue, report: &mut Report) {
    if config.notify.is_empty() {
        return;
    }
    let names: Vec<String> = config.notify.keys().cloned().collect();
    let troubles = match queue.unsent_notifications(&names).await {
        Ok(troubles) => troubles,
        Err(error) => return report.add("notify", [(&error).into()]),
    };
    for name in &names {
        let trouble = troubles.iter().find(|trouble| trouble.receiver == *name);
        let finding = trouble.and_then(unsent);
        let finding = finding.unwrap_or_else(|| {
            Finding::ok("nothing that was to be sent is waiting for another try")
        });
        report.add(&format!("notify {name}"), [finding]);
    }
}

fn unsent(trouble: &ReceiverTrouble) -> Option<Finding> {
    let why = trouble.last_error.as_deref().unwrap_or("not known");
    let hint = format!(
        "`pgdumpd notify test {}` says what the receiver answers.",
        trouble.receiver
    );
    if trouble.given_up > 0 {
        let messages = count_of(trouble.given_up.unsigned_abs(), "message");
        let what = format!("gave up {messages} within a day: {why}");
        return Some(Finding::error("notifications_given_up", what).hint(hint));
    }
    if trouble.waiting > 0 {
        let messages = count_of(trouble.waiting.unsigned_abs(), "message");
        let what = format!("could not send {messages} yet: {why}");
        return Some(Finding::warning("notifications_waiting", what).hint(hint));
    }
    None
}

/// Finds backups that were stored under a name which means another storage by now, and that no daemon reaches.
async fn check_memory(catalog: &Catalog, queue: &Queue) -> Vec<(String, Finding)> {
    let remembered = match queue.remembered_storages().await {
        Ok(remembered) => remembered,
        Err(error) => return vec![("names".to_owned(), (&error).into())],
    };
    let here = catalog.storages_for_copies();
    let id_of = |name: &str| here.iter().find(|storage| storage.name == name)?.id;
    let is_here = |id| here.iter().any(|storage| storage.id == Some(id));
    let lost = remembered
        .into_iter()
        .filter(|known| known.backups > 0 && !known.served && !is_here(known.id));
    lost.filter_map(|known| {
        let (now, config) = (id_of(&known.name)?, catalog.storages.get(&known.name)?);
        let what = format!(
            "{} backups that were stored under this name are in the storage {}, which no daemon has in its configuration; \
             {} is the storage {now}",
            known.backups,
            known.id,
            config.place.shown()
        );
        let finding = Finding::warning("backups_elsewhere", what).hint(
            "Add the former storage to the configuration, under any name: backups are found by the id of their storage.",
        );
        Some((known.name, finding))
    })
    .collect()
}

async fn check_target(
    name: &str,
    config: &TargetConfig,
    catalog: &Catalog,
    queue: Option<&Queue>,
    pg_dump: &PgDumpConfig,
) -> Vec<Finding> {
    let target = match Target::connect(name, &config.url).await {
        Ok(target) => target,
        Err(fault) => return vec![(&fault).into()],
    };
    catalog.servers.remember(&target);
    let mut findings = vec![Finding::ok(format!(
        "{} answers, PostgreSQL {}",
        config.url,
        target.server_version()
    ))];
    if let Some(queue) = queue {
        findings.extend(former_database::change(queue, &target).await);
    }
    let program = dump::find(&pg_dump.directories, target.server_major()).await;
    if let Ok(program) = &program {
        findings.push(Finding::ok(format!(
            "{} is {}",
            program.path().display(),
            program.version()
        )));
    }
    findings.extend(target.check(&program).await);
    if let (Ok(program), Some(globals)) = (&program, config.globals) {
        findings.extend(target.check_globals(program, globals).await);
    }
    findings
}

async fn check_queue(queue: &Queue) -> Vec<Finding> {
    let address = match queue.server_address().await {
        Ok(address) => address,
        Err(error) => return vec![(&error).into()],
    };
    let mut findings = vec![Finding::ok(format!(
        "queue {} at {address} answers",
        queue.id()
    ))];
    match queue.live_workers().await {
        Ok(daemons) if daemons.is_empty() => findings.push(
            Finding::error(
                "no_daemon",
                "no daemon is alive: nothing that is enqueued will run",
            )
            .hint("Start one with `systemctl start pgdumpd`, or `pgdumpd run` in a terminal."),
        ),
        Ok(daemons) => findings.extend(daemons.iter().map(|daemon| {
            Finding::ok(format!(
                "daemon {} (pid {}) on {} is alive",
                daemon.id, daemon.pid, daemon.host
            ))
        })),
        Err(error) => findings.push((&error).into()),
    }
    match queue.kept_quotas().await {
        Ok(quotas) => findings.extend(quotas.iter().map(nearly_used)),
        Err(error) => findings.push((&error).into()),
    }
    match queue.unserved_targets().await {
        Ok(targets) => findings.extend(targets.iter().map(|(target, jobs)| {
            let jobs = count_of(jobs.unsigned_abs(), "job");
            Finding::warning(
                "unserved",
                format!("no daemon serves target \"{target}\", queued: {jobs}"),
            )
            .hint("Add the target to a daemon's configuration, or cancel the jobs if the name is a mistake: `pgdumpd list` shows them.")
        })),
        Err(error) => findings.push((&error).into()),
    }
    findings
}

fn nearly_used(quota: &KeptQuota) -> Finding {
    let KeptQuota {
        role,
        kept,
        allowed,
    } = quota;
    Finding::warning(
        "kept_quota",
        format!("role \"{role}\" has {kept} of the {allowed} backups that it may keep"),
    )
    .hint(
        "At the limit it cannot request another one. Give its targets a keep_last, delete some with \
         `pgdumpd delete`, or allow more in the table pgdumpd.quotas.",
    )
}

async fn in_time(findings: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match tokio::time::timeout(CHECK_TIMEOUT, findings).await {
        Ok(findings) => findings,
        Err(_) => vec![Finding::error(
            "no_answer",
            format!("no answer in {} seconds", CHECK_TIMEOUT.as_secs()),
        )],
    }
}
