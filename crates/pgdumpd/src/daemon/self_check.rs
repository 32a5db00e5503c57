//! The daemon's own checks, whose results its row in the queue shows.

use std::sync::Arc;

use tracing::warn;

use crate::checks::{self, Checked};
use crate::config::Config;
use crate::context::Services;
use crate::finding::Finding;

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
