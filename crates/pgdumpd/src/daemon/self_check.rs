//! The daemon's own checks, whose results its row in the queue shows.

use std::sync::Arc;

use tracing::warn;

use crate::checks::{self, Checked};
use crate::config::Config;
use crate::context::Services;
use crate::finding::{Finding, Severity};
use crate::queue::NotedFinding;

/// A message for each error: a configuration that is wrong as a whole must not flood anybody.
const MOST_NOTED: usize = 50;

/// One round of checks, which also report a configuration that was refused; then the time until the next is due.
pub(super) async fn check_and_wait(
    services: Arc<Services>,
    config: Config,
    refused: Option<Finding>,
) {
    check(&services, &config, refused).await;
    tokio::time::sleep(config.daemon.check_interval).await;
}

async fn check(services: &Services, config: &Config, refused: Option<Finding>) {
    let catalog = services.catalog();
    let mut report = checks::run(config, &catalog, Some(&services.queue)).await;
    report.add("configuration", refused);
    for (target, finding) in services.retention.findings() {
        // One that was taken out of the configuration concerns nobody.
        if catalog.targets.contains_key(&target) {
            report.add(&format!("target {target}"), [finding]);
        }
    }
    services.counters.checked(report.counts());
    for Checked { subject, finding } in report.problems() {
        warn!(
            check.subject = subject,
            check.hint = finding.hint,
            "{}",
            finding.what
        );
    }
    if !config.notify.is_empty() {
        note(services, &report).await;
    }
    let json = serde_json::to_value(&report).unwrap_or_default();
    if let Err(error) = services
        .queue
        .record_checks(services.worker.id, &json)
        .await
    {
        warn!(
            error = &error as &dyn std::error::Error,
            "the results of the checks could not be stored"
        );
    }
}

/// Lets those who want to know it hear of errors that were not there before.
async fn note(services: &Services, report: &checks::Report) {
    let errors = report
        .problems()
        .filter(|checked| checked.finding.severity == Severity::Error);
    let errors = errors
        .take(MOST_NOTED)
        .map(|Checked { subject, finding }| NotedFinding {
            subject: subject.clone(),
            target: subject.strip_prefix("target ").map(str::to_owned),
            code: finding.code.clone().into_owned(),
            what: finding.what.clone(),
            hint: finding.hint.clone(),
        });
    let errors: Vec<NotedFinding> = errors.collect();
    match services
        .queue
        .note_findings(services.worker.id, &errors)
        .await
    {
        Ok(()) => services.give_hint(),
        Err(error) => warn!(
            error = &error as &dyn std::error::Error,
            "the findings of the checks could not be noted for notifications"
        ),
    }
}
