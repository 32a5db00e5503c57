//! Keeps what the daemon serves up to date, and checks that it would work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Served, Services, serve};
use crate::checks::{self, Checked};
use crate::config::{Config, Sources};
use crate::lifecycle::Lifecycle;

/// How soon a server is asked again that could not be asked for its databases.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// Checks what the daemon will need at the start, at each reload, when daemons begin or cease to differ and every
/// `check_interval`, and reads
/// targets and storages again at SIGHUP. A server's list of databases is read again before each check, and
/// soon where it could not be read.
pub(super) async fn run(
    services: Arc<Services>,
    mut config: Config,
    reload: Option<PathBuf>,
    lifecycle: Lifecycle,
    rest: CancellationToken,
) {
    let mut checked = Box::pin(check_and_rest(Arc::clone(&services), config.clone()));
    loop {
        let before = services.served();
        // A check may take minutes: whoever reloads does not wait for it.
        tokio::select! {
            () = rest.cancelled() => return,
            () = lifecycle.reload.notified() => {
                match Config::load(&Sources::of_process(reload.clone())) {
                    Ok(loaded) => {
                        let mut loaded = loaded.config;
                        loaded.share_bandwidths(&config);
                        config = loaded;
                        // Read at the start alone, so checks judge what the jobs use.
                        config.daemon = services.daemon.clone();
                        config.pg_dump = services.pg_dump.clone();
                        services.served().known.forget();
                    }
                    Err(error) => error!("the configuration stays as it was: {error}"),
                }
            }
            () = services.recheck.notified() => {
                checked.set(check_and_rest(Arc::clone(&services), config.clone()));
                continue;
            }
            () = &mut checked => {}
            () = time_to_ask_again(&before) => {
                let served = tokio::select! {
                    () = rest.cancelled() => return,
                    served = serve(&config, Some(&before)) => served,
                };
                if served.unlisted != before.unlisted {
                    announce(&services, served);
                    checked.set(check_and_rest(Arc::clone(&services), config.clone()));
                }
                continue;
            }
        }
        let served = tokio::select! {
            () = rest.cancelled() => return,
            served = serve(&config, Some(&before)) => served,
        };
        announce(&services, served);
        checked.set(check_and_rest(Arc::clone(&services), config.clone()));
    }
}

fn announce(services: &Services, served: Served) {
    info!(
        targets = served.targets.len(),
        storages = served.storages.len(),
        "targets and storages in service"
    );
    services.serve_from_now_on(served);
}

async fn time_to_ask_again(served: &Served) {
    if served.unlisted.is_empty() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(ASK_AGAIN).await;
}

/// One round of checks, and the time until the next is due.
async fn check_and_rest(services: Arc<Services>, config: Config) {
    check(&services, &config).await;
    tokio::time::sleep(config.daemon.check_interval).await;
}

async fn check(services: &Services, config: &Config) {
    let served = services.served();
    let mut report = checks::run(config, &served, Some(&services.queue)).await;
    for (target, finding) in services.retention.findings() {
        // One that was taken out of the configuration concerns nobody.
        if served.targets.contains_key(&target) {
            report.add(&format!("target {target}"), [finding]);
        }
    }
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
